"""ray's pool, with a cluster of this machine only."""

import logging

from benches.libraries.part import (
    FRESH as START_METHODS,  # noqa: F401
    PoolContext,
)


def pool(workers):
    """`ray.util.multiprocessing.Pool`, which has multiprocessing's interface; the cluster stays."""
    import ray
    from ray.util.multiprocessing import Pool

    if not ray.is_initialized():
        ray.init(num_cpus=workers, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    return Pool(workers)


def context(*_):
    """ray's pool."""
    return PoolContext(pool)
