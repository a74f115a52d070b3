"""loky, joblib's executor."""

from loky import ProcessPoolExecutor

from benches.faults.libraries.executor import ExecutorPool

START_METHODS = ("loky",)


class LokyPool(ExecutorPool):
    """loky's shutdown has its own way to be quick."""

    def terminate(self):
        """Ends the pool at once."""
        self._executor.shutdown(kill_workers=True)


class Library:
    """loky, which has one way to start a worker."""

    context = None

    def __init__(self, start_method):
        pass

    def pool(self, workers=2, initializer=None):
        """Makes a pool."""
        return LokyPool(ProcessPoolExecutor(workers, initializer=initializer))
