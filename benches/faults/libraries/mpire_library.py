"""mpire."""

from mpire import WorkerPool

from benches.faults.libraries.standard import StandardPool

START_METHODS = ("fork", "spawn", "forkserver")


class Pool(StandardPool):
    """A pool of mpire: the initializer is an argument of each call."""

    def __init__(self, pool, initializer):
        super().__init__(pool)
        self._options = {"worker_init": initializer} if initializer else {}

    def submit(self, function, *args):
        """Submits one task; the answer has `get(timeout)`."""
        return self._pool.apply_async(function, args, **self._options)

    def submit_with_timeout(self, seconds, function, *args):
        """Submits one task that may run for `seconds`."""
        return self._pool.apply_async(function, args, task_timeout=seconds)

    def map(self, function, items, timeout):
        """mpire's map takes no limit; the probe's own ends it."""
        return self._pool.map(function, items, chunk_size=1)

    def close(self):
        """Ends the pool in good order."""
        self._pool.stop_and_join()

    def terminate(self):
        """Ends the pool at once."""
        self._pool.terminate()


class Library:
    """mpire with one start method."""

    context = None

    def __init__(self, start_method):
        self._start_method = start_method

    def pool(self, workers=2, initializer=None):
        """Makes a pool."""
        return Pool(WorkerPool(workers, start_method=self._start_method, keep_alive=True), initializer)
