"""One adapter a library: how it makes a pool, submits a task and waits for it."""

import importlib

from benches.libraries import NotOffered, installed

__all__ = ["NAMES", "NotOffered", "installed", "load", "start_methods"]

NAMES = (
    "procession",
    "multiprocessing",
    "futures",
    "loky",
    "mpire",
    "pebble",
    "billiard",
    "multiprocess",
)


def start_methods(name):
    """The start methods the adapter `name` can be asked for, the library's own default first."""
    return importlib.import_module(f"{__name__}.{name}_library").START_METHODS


def load(name, start_method):
    """Makes the adapter of a library.

    Args:
        name: one of `NAMES`.
        start_method: one of `start_methods(name)`.

    Returns:
        An object with `pool(workers, initializer)`, whose result has `submit`, `map`, `close` and `terminate`; with
        `short_lived(workers, tasks)` where workers can be replaced after so many tasks; and
        `context`, the library's multiprocessing-like constructors (None when it has none).
    """
    return importlib.import_module(f"{__name__}.{name}_library").Library(start_method)
