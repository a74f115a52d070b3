"""dask's distributed scheduler, with worker processes of this machine only."""

from benches.libraries.part import (
    CHUNKS_OF_MANY,
    FRESH as START_METHODS,  # noqa: F401
    PartPool,
    PoolContext,
)


class Pool(PartPool):
    """A client with its local cluster: a future an item where that is asked for, bags otherwise."""

    def __init__(self, workers):
        from distributed import Client

        self._client = Client(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None)

    def apply(self, function, args=()):
        """Waits for one call."""
        return self._client.submit(function, *args, pure=False).result()

    def map(self, function, items, chunksize=None):
        """Waits for a call an item."""
        if chunksize != 1:
            from dask import bag

            return bag.from_sequence(items, partition_size=chunksize).map(function).compute()
        return self._client.gather(self._client.map(function, list(items), pure=False))

    def starmap(self, function, items, chunksize=None):
        """Waits for a call a tuple."""
        return self._client.gather(self._client.map(function, *zip(*items, strict=True), pure=False))

    def imap(self, function, items, chunksize=None):
        """Yields results in order."""
        for future in self._client.map(function, list(items), pure=False):
            yield future.result()

    def imap_unordered(self, function, items, chunksize=None):
        """Yields results as they come."""
        from distributed import as_completed

        futures = self._client.map(function, list(items), pure=False)
        return (result for _, result in as_completed(futures, with_results=True))

    def close(self):
        """Ends the cluster and waits for it."""
        self._client.shutdown()


def context(*_):
    """A client."""
    return PoolContext(Pool, chunks_of_many=CHUNKS_OF_MANY)
