"""The standard library's `multiprocessing`, for the places where the two must understand each other.

Some of its parts are used beside ours: `concurrent.futures` has its queue, programs catch its exceptions.
They are looked up here, because under its name `sys.modules` may have ours: see `drop_in.py`.
"""

import sys

# The standard modules by their names, once ours stand in `sys.modules` under these.
kept: dict = {}


def is_replaced():
    """Return whether `multiprocessing` is ours in this process."""
    return bool(kept)


def loaded(name):
    """Return the module `multiprocessing.<name>` of the standard library if it is loaded, else None."""
    return (kept or sys.modules).get(f"multiprocessing.{name}")
