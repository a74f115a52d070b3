"""concurrent.futures of the standard library."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from benches.libraries.part import CHUNKS_OF_MANY, START_METHODS, ExecutorPool, PoolContext  # noqa: F401


def context(_, start_method):
    """`ProcessPoolExecutor` with the start method."""
    method = multiprocessing.get_context(start_method)
    return PoolContext(
        lambda workers: ExecutorPool(ProcessPoolExecutor(workers, mp_context=method)), chunks_of_many=CHUNKS_OF_MANY
    )
