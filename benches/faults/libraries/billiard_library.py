"""billiard, Celery's multiprocessing."""

import billiard

from benches.faults.libraries.standard import StandardLibrary, StandardPool

START_METHODS = ("fork", "spawn", "forkserver")


class Pool(StandardPool):
    """A pool of billiard."""

    def submit_with_timeout(self, seconds, function, *args):
        """Submits one task that may run for `seconds`."""
        return self._pool.apply_async(function, args, timeout=seconds)


class Library(StandardLibrary):
    """billiard with one start method."""

    Pool = Pool

    def __init__(self, start_method):
        super().__init__(billiard, start_method)
