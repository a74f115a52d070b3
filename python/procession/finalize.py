"""Callbacks that run once: when an object goes away, when they are called, or at exit."""

import itertools
import os
import weakref

from procession import logs

__all__ = ["Finalize"]

_finalizer_registry = {}
_finalizer_counter = itertools.count()


class Finalize:
    """Calls something once: when an object goes away, when called, or at exit.

    Args:
        obj: whose end triggers the call; None for none.
        callback, args, kwargs: what is called.
        exitpriority: larger ones run earlier at exit; None does not run at exit.
    """

    def __init__(self, obj, callback, args=(), kwargs=None, exitpriority=None):
        if exitpriority is not None and not isinstance(exitpriority, int):
            raise TypeError(f"exitpriority must be None or int, not {type(exitpriority).__name__}")
        if obj is None and exitpriority is None:
            raise ValueError("a finalizer without an object needs an exitpriority")
        self._weakref = weakref.ref(obj, self) if obj is not None else None
        self._callback = callback
        self._args = args
        self._kwargs = kwargs or {}
        self._key = (exitpriority, next(_finalizer_counter))
        self._pid = os.getpid()
        _finalizer_registry[self._key] = self

    def __call__(self, wr=None):
        """Run the callback unless it has run, or belongs to the parent process."""
        if _finalizer_registry.pop(self._key, None) is None:
            logs.sub_debug("finalizer no longer registered")
            return None
        callback, args, kwargs = self._callback, self._args, self._kwargs
        self._forget()
        if self._pid != os.getpid():
            logs.sub_debug("finalizer ignored because different process")
            return None
        logs.sub_debug("finalizer calls %s", callback)
        return callback(*args, **kwargs)

    def cancel(self):
        """Never run the callback."""
        if _finalizer_registry.pop(self._key, None) is not None:
            self._forget()

    def _forget(self):
        self._weakref = self._callback = self._args = self._kwargs = None

    def still_active(self):
        """Return whether the callback may still run."""
        return self._key in _finalizer_registry

    def __repr__(self):
        callback = self._callback
        if callback is None:
            return f"<{type(self).__name__} object, dead>"
        return f"<{type(self).__name__} object, callback={getattr(callback, '__name__', callback)}>"


def _run_finalizers(minpriority=None):
    """Run the finalizers that have an exit priority, of at least `minpriority` unless None, the highest first."""
    # A copy by list() is atomic: other threads and the garbage collector change the registry meanwhile.
    due = [k for k in list(_finalizer_registry) if k[0] is not None and (minpriority is None or k[0] >= minpriority)]
    for key in sorted(due, reverse=True):
        finalizer = _finalizer_registry.get(key)
        if finalizer is None:
            continue
        try:
            finalizer()
        except Exception:
            import traceback

            traceback.print_exc()
    if minpriority is None:
        _finalizer_registry.clear()
