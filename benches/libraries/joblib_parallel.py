"""joblib, which keeps its workers for the next call and lays large arrays into files that workers map."""

from contextlib import ExitStack

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from benches.libraries.part import (
    FRESH as START_METHODS,  # noqa: F401
    PartPool,
    PoolContext,
)


class Kept(PartPool):
    """`Parallel`, entered once for each size of its batches, as its documentation advises for calls in a row."""

    def __init__(self, workers):
        self._workers = workers
        self._entered = {}
        self._stack = ExitStack()

    def _parallel(self, chunksize, return_as="list"):
        key = chunksize, return_as
        if key not in self._entered:
            parallel = Parallel(self._workers, batch_size=chunksize or "auto", return_as=return_as)
            self._entered[key] = self._stack.enter_context(parallel)
        return self._entered[key]

    def apply(self, function, args=()):
        """Waits for one call."""
        return self._parallel(1)([delayed(function)(*args)])[0]

    def map(self, function, items, chunksize=None):
        """Waits for a call an item."""
        return self._parallel(chunksize)(delayed(function)(item) for item in items)

    def starmap(self, function, items, chunksize=None):
        """Waits for a call a tuple."""
        return self._parallel(chunksize)(delayed(function)(*item) for item in items)

    def imap(self, function, items, chunksize=None):
        """Yields results in order."""
        return self._parallel(chunksize, "generator")(delayed(function)(item) for item in items)

    def imap_unordered(self, function, items, chunksize=None):
        """Yields results as they come."""
        return self._parallel(chunksize, "generator_unordered")(delayed(function)(item) for item in items)

    def close(self):
        """Leaves the workers to the next call."""
        self._stack.close()


class Ended(Kept):
    """The same, which ends its workers."""

    def close(self):
        """Ends the workers and waits for them."""
        super().close()
        get_reusable_executor().shutdown(wait=True)


def context(*_):
    """`Parallel` with its usual workers."""
    return PoolContext(Ended, Kept)
