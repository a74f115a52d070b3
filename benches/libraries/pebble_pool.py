"""pebble."""

import multiprocessing
from concurrent.futures import as_completed

from pebble import ProcessPool

from benches.libraries.part import CHUNKS_OF_MANY, START_METHODS, PartPool, PoolContext  # noqa: F401


class Pool(PartPool):
    """A pool of pebble: its chunks are of one item, and come in order, unless told otherwise."""

    def __init__(self, pool):
        self._pool = pool

    def apply(self, function, args=()):
        """Waits for one call."""
        return self._pool.schedule(function, args=args).result()

    def map(self, function, items, chunksize=1):
        """Waits for a call an item."""
        return list(self.imap(function, items, chunksize))

    def starmap(self, function, items, chunksize=1):
        """Waits for a call a tuple."""
        return list(self._pool.map(function, *zip(*items, strict=True), chunksize=chunksize).result())

    def imap(self, function, items, chunksize=1):
        """Yields results in order."""
        return self._pool.map(function, items, chunksize=chunksize).result()

    def imap_unordered(self, function, items, chunksize=1):
        """Yields results as they come; chunks come in order."""
        if chunksize > 1:
            return self.imap(function, items, chunksize)
        futures = [self._pool.schedule(function, args=(item,)) for item in items]
        return (future.result() for future in as_completed(futures))

    def close(self):
        """Ends the workers and waits for them."""
        self._pool.close()
        self._pool.join()


def context(_, start_method):
    """`ProcessPool` with the start method."""
    method = multiprocessing.get_context(start_method)
    return PoolContext(lambda workers: Pool(ProcessPool(workers, context=method)), chunks_of_many=CHUNKS_OF_MANY)
