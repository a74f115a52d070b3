"""What adapters share: a part of multiprocessing's interface, and a pool made of an executor."""

from benches.libraries import NotOffered

START_METHODS = ("fork", "spawn", "forkserver")
# Of libraries whose workers are fresh interpreters, however they start them.
FRESH = ("spawn",)
# For a million tasks to two workers, of a library that sends one by one unless told otherwise.
CHUNKS_OF_MANY = 10_000


class Part:
    """An object that has a part of multiprocessing's interface; the rest is not offered."""

    def __getattr__(self, name):
        raise NotOffered(f"no {name}")


class PoolContext(Part):
    """The context of a library that has a pool and nothing else.

    Args:
        pool: makes a pool of so many workers.
        shared_pool: returns one that is kept for the next call; a new one without it.
        chunks_of_many: the size of chunks that its user gives it for very many short tasks; None: it finds one.
    """

    def __init__(self, pool, shared_pool=None, chunks_of_many=None):
        self.Pool = pool
        self.shared_pool = shared_pool or pool
        self.chunks_of_many = chunks_of_many


class PartPool(Part):
    """A pool that is ended by `close`."""

    def join(self):
        """`close` has waited."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class ExecutorPool(PartPool):
    """An executor as a pool: its chunks are of one item, and come in order, unless told otherwise."""

    def __init__(self, executor):
        self.executor = executor

    def apply(self, function, args=()):
        """Waits for one call."""
        return self.executor.submit(function, *args).result()

    def map(self, function, items, chunksize=1):
        """Waits for a call an item."""
        return list(self.executor.map(function, items, chunksize=chunksize))

    def starmap(self, function, items, chunksize=1):
        """Waits for a call a tuple."""
        return list(self.executor.map(function, *zip(*items, strict=True), chunksize=chunksize))

    def imap(self, function, items, chunksize=1):
        """Yields results in order."""
        return self.executor.map(function, items, chunksize=chunksize)

    def imap_unordered(self, function, items, chunksize=1):
        """Yields results as they come; chunks come in order."""
        if chunksize > 1:
            return self.executor.map(function, items, chunksize=chunksize)
        from concurrent.futures import as_completed  # not of all programs: it loads threading and logging

        futures = [self.executor.submit(function, item) for item in items]
        return (future.result() for future in as_completed(futures))

    def close(self):
        """Ends the workers and waits for them."""
        self.executor.shutdown()
