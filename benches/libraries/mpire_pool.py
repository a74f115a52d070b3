"""mpire, whose workers are told to stay between the calls of a pool."""

from mpire import WorkerPool

from benches.libraries.part import START_METHODS, PartPool, PoolContext  # noqa: F401


class Pool(PartPool):
    """A pool of mpire, which spreads tuples over the arguments by itself."""

    def __init__(self, pool):
        self._pool = pool
        self.apply = pool.apply

    def map(self, function, items, chunksize=None):
        """Waits for a call an item, or a tuple."""
        return self._pool.map(function, items, chunk_size=chunksize, concatenate_numpy_output=False)

    starmap = map

    def imap(self, function, items, chunksize=1):
        """Yields results in order."""
        return self._pool.imap(function, items, chunk_size=chunksize)

    def imap_unordered(self, function, items, chunksize=1):
        """Yields results as they come."""
        return self._pool.imap_unordered(function, items, chunk_size=chunksize)

    def close(self):
        """Ends the workers and waits for them."""
        self._pool.stop_and_join()


def context(_, start_method):
    """`WorkerPool` with the start method."""
    return PoolContext(lambda workers: Pool(WorkerPool(workers, start_method=start_method, keep_alive=True)))
