"""concurrent.futures.ProcessPoolExecutor of the standard library."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from benches.faults.libraries.executor import ExecutorPool

START_METHODS = ("fork", "spawn", "forkserver")


class Library:
    """The executor with one start method."""

    context = None

    def __init__(self, start_method):
        self._context = multiprocessing.get_context(start_method)

    def pool(self, workers=2, initializer=None):
        """Makes a pool."""
        return ExecutorPool(ProcessPoolExecutor(workers, mp_context=self._context, initializer=initializer))
