"""The libraries that are measured: each has an adapter that offers its part of multiprocessing's interface.

This and `standard.py` load next to nothing, as programs are measured that do not either.
"""

import importlib
from collections import namedtuple


class NotOffered(AttributeError):
    """The library has no such thing, so a measurement says nothing about it."""


# How a library is reached: the module it is imported as, and the adapter that makes its context.
Entry = namedtuple("Entry", "module adapter")


LIBRARIES = {
    "multiprocessing": Entry("multiprocessing", "standard"),
    "procession": Entry("procession", "standard"),
    "futures": Entry("concurrent.futures", "futures"),
    "loky": Entry("loky", "loky_executor"),
    "joblib": Entry("joblib", "joblib_parallel"),
    "mpire": Entry("mpire", "mpire_pool"),
    "pebble": Entry("pebble", "pebble_pool"),
    "billiard": Entry("billiard", "standard"),
    "multiprocess": Entry("multiprocess", "standard"),
    "SimpleQueue": Entry("multiprocessing", "queues"),
    "faster-fifo": Entry("faster_fifo", "queues"),
    "ray": Entry("ray", "ray_pool"),
    "dask": Entry("distributed", "dask_client"),
}
# What procession is measured beside, whatever is chosen.
STANDARD, OURS = "multiprocessing", "procession"
PEERS = tuple(name for name in LIBRARIES if name not in (STANDARD, OURS))


def installed(name):
    """Says whether the library called `name` here can be imported."""
    from importlib.util import find_spec

    try:
        return find_spec(LIBRARIES[name].module) is not None
    except ModuleNotFoundError:  # the package that the module is in
        return False


def load(name, start_method, each_start_method=False):
    """Makes the context of a library: its part of what `multiprocessing.get_context()` returns.

    Args:
        name: one of `LIBRARIES`.
        start_method: "fork", "spawn" or "forkserver".
        each_start_method: whether a library with a way of its own to start processes is not to answer for another.

    Returns:
        An object with `Pool`, `Queue`, `Process` and so on, those that the library has; what it has not raises
        `NotOffered`. `shared_pool(workers)` is its pool that outlives the call which uses it, or a new one.

    Raises:
        NotOffered: it has not the start method.
    """
    entry = LIBRARIES[name]
    adapter = importlib.import_module(f"{__name__}.{entry.adapter}")
    if each_start_method and start_method not in adapter.START_METHODS:
        raise NotOffered(f"no {start_method}")
    return adapter.context(name, start_method)
