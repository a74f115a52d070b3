"""loky, whose executor is kept for the next call."""

import loky

from benches.libraries.part import (
    CHUNKS_OF_MANY,
    FRESH as START_METHODS,  # noqa: F401
    ExecutorPool,
    PoolContext,
)


class Kept(ExecutorPool):
    """The executor that the next call gets too."""

    def close(self):
        """It stays."""


def context(*_):
    """`ProcessPoolExecutor`, and `get_reusable_executor` where it is to be kept."""
    return PoolContext(
        lambda workers: ExecutorPool(loky.ProcessPoolExecutor(workers)),
        lambda workers: Kept(loky.get_reusable_executor(workers)),
        CHUNKS_OF_MANY,
    )
