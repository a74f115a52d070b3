"""Callbacks that run once: when an object goes away, when they are called, or at exit; and those of forked children."""

import itertools
import os
from _thread import _local, allocate_lock  # without what `threading` loads
from _weakref import ref  # without what `weakref` loads, in each child that is no copy

from procession import _logs

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Generic, TypeVar

    _T = TypeVar("_T")
    _R = TypeVar("_R")
else:
    from procession._standard import Generic

    _R = None

__all__ = ["Finalize", "ForkAwareLocal", "ForkAwareThreadLock", "register_after_fork"]

_finalizer_registry: "dict[tuple[int | None, int], Finalize]" = {}
_finalizer_counter = itertools.count()


class Finalize(Generic[_R]):
    """Calls something once: when an object goes away, when called, or at exit.

    Args:
        obj: whose end triggers the call; None for none.
        callback, args, kwargs: what is called.
        exitpriority: larger ones run earlier at exit; None does not run at exit.
    """

    # None once it has run.
    _weakref: "Any"
    _callback: "Any"
    _args: "Any"
    _kwargs: "Any"

    def __init__(
        self,
        obj: object,
        callback: "Callable[..., _R]",
        args: "Iterable[Any]" = (),
        kwargs: "Mapping[str, Any] | None" = None,
        exitpriority: int | None = None,
    ) -> None:
        if exitpriority is not None and not isinstance(exitpriority, int):
            raise TypeError(f"exitpriority must be None or int, not {type(exitpriority).__name__}")
        if obj is None and exitpriority is None:
            raise ValueError("a finalizer without an object needs an exitpriority")
        self._weakref = ref(obj, self) if obj is not None else None
        self._callback = callback
        self._args = args
        self._kwargs = kwargs or {}
        self._key = (exitpriority, next(_finalizer_counter))
        self._pid = os.getpid()
        _finalizer_registry[self._key] = self

    # The names that it needs are bound here: objects go away even after the interpreter has emptied this module.
    def __call__(
        self, wr: object = None, *, _registry=_finalizer_registry, _here=os.getpid, _log=_logs.sub_debug
    ) -> "_R | None":
        """Run the callback unless it has run, or belongs to another process that this one was copied from."""
        if _registry.pop(self._key, None) is None:
            _log("finalizer no longer registered")
            return None
        callback, args, kwargs = self._callback, self._args, self._kwargs
        self._forget()
        if self._pid != _here():
            _log("finalizer ignored because different process")
            return None
        _log("finalizer calls %s", callback)
        return callback(*args, **kwargs)

    def cancel(self) -> None:
        """Never run the callback."""
        if _finalizer_registry.pop(self._key, None) is not None:
            self._forget()

    def _forget(self):
        self._weakref = self._callback = self._args = self._kwargs = None

    def still_active(self) -> bool:
        """Return whether the callback may still run."""
        return self._key in _finalizer_registry

    def __repr__(self):
        callback = self._callback
        if callback is None:
            return f"<{type(self).__name__} object, dead>"
        return f"<{type(self).__name__} object, callback={getattr(callback, '__name__', callback)}>"


def _run_finalizers(minpriority: int | None = None) -> None:
    """Run this process's finalizers that have an exit priority, of at least `minpriority` unless None, the highest
    first."""
    # A copy by list() is atomic: other threads and the garbage collector change the registry meanwhile.
    own = [key for key, finalizer in list(_finalizer_registry.items()) if finalizer._pid == os.getpid()]
    due = [key for key in own if key[0] is not None and (minpriority is None or key[0] >= minpriority)]
    for key in sorted(due, reverse=True):
        finalizer = _finalizer_registry.get(key)
        if finalizer is None:
            continue
        try:
            finalizer()
        except BaseException:  # sys.exit, too: the others have their turn
            import traceback

            traceback.print_exc()
    if minpriority is None:
        _finalizer_registry.clear()


# -- after a fork ---------------------------------------------------------------------------------------------------

# What is called with which object, in the order of registration; a child looks whether there are any.
_registered: "dict[tuple[int, int, Callable[..., object]], ref[Any]]" = {}
_afterfork_counter = itertools.count()


def register_after_fork(obj: "_T", func: "Callable[[_T], object]") -> None:
    """Have `func(obj)` called in each child that this package forks, while `obj` lives."""
    key, forget = (next(_afterfork_counter), id(obj), func), _registered.pop
    _registered[key] = ref(obj, lambda _: forget(key, None))


def _run_after_forkers():
    for (_, _, func), reference in list(_registered.items()):
        try:
            if (obj := reference()) is not None:
                func(obj)
        except Exception as error:
            _logs.info("after fork, %s raised %s", func, error)


class ForkAwareThreadLock:
    """A thread lock that is free in a child, whoever held it in the parent."""

    acquire: "Callable[..., bool]"
    release: "Callable[[], None]"

    def __init__(self) -> None:
        self._lock: Any = allocate_lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        register_after_fork(self, ForkAwareThreadLock._at_fork_reinit)

    def _at_fork_reinit(self):
        self._lock._at_fork_reinit()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *args: "type[BaseException] | BaseException | TracebackType | None") -> None:
        return self._lock.__exit__(*args)


class ForkAwareLocal(_local):
    """Thread-local attributes that are gone in a child."""

    def __init__(self):
        register_after_fork(self, lambda obj: obj.__dict__.clear())

    def __reduce__(self):
        return type(self), ()


def __getattr__(name: str) -> "Any":
    """Make what the standard module has of `_registered`, when it is asked for."""
    if name != "_afterfork_registry":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from weakref import WeakValueDictionary

    known = globals()[name] = WeakValueDictionary()
    vars(known)["data"] = _registered
    return known
