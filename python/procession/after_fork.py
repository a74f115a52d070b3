"""Objects that are told when this package has forked the process they are in."""

import itertools
import weakref
from _thread import _local, allocate_lock  # without what `threading` loads

from procession import logs

__all__ = ["ForkAwareLocal", "ForkAwareThreadLock", "register_after_fork"]

_afterfork_registry = weakref.WeakValueDictionary()
_afterfork_counter = itertools.count()


def register_after_fork(obj, func):
    """Have `func(obj)` called in each child that this package forks, while `obj` lives."""
    _afterfork_registry[(next(_afterfork_counter), id(obj), func)] = obj


def _run_after_forkers():
    # In the order of their registration, which a dictionary keeps. Its own `items` would cost a child more memory.
    for (_, _, func), reference in list(_afterfork_registry.data.items()):
        try:
            if (obj := reference()) is not None:
                func(obj)
        except Exception as error:
            logs.info("after fork, %s raised %s", func, error)


class ForkAwareThreadLock:
    """A thread lock that is free in a child, whoever held it in the parent."""

    def __init__(self):
        self._lock = allocate_lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        register_after_fork(self, ForkAwareThreadLock._at_fork_reinit)

    def _at_fork_reinit(self):
        self._lock._at_fork_reinit()

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *args):
        return self._lock.__exit__(*args)


class ForkAwareLocal(_local):
    """Thread-local attributes that are gone in a child."""

    def __init__(self):
        register_after_fork(self, lambda obj: obj.__dict__.clear())

    def __reduce__(self):
        return type(self), ()
