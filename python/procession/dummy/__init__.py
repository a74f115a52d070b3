"""The interface of the package on threads instead of processes.

`from procession.dummy import Pool` turns a program for processes into one for threads: all names mean the
same, but everything is shared, nothing is pickled, and the work takes turns under the interpreter's lock.
"""

import array
import itertools
import sys
import threading
import weakref
from queue import Queue
from threading import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

from procession.dummy.connection import Pipe

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType
    from typing import Any, Generic, TypeVar

    from procession._typed.protocols import Open as _Open
    from procession.pool import ThreadPool

    _T = TypeVar("_T")
else:
    _Open = object
    import builtins

    from procession._standard import Generic

    _T = None

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Namespace",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "Value",
    "active_children",
    "current_process",
    "dict",
    "freeze_support",
    "list",
    "shutdown",
]

# A thread -> those it started.
_children: "weakref.WeakKeyDictionary[threading.Thread, weakref.WeakSet[DummyProcess]]" = weakref.WeakKeyDictionary()
_names = itertools.count(1)


class DummyProcess(threading.Thread):
    """A thread that looks like a process."""

    def __init__(
        self,
        group: None = None,
        target: "Callable[..., object] | None" = None,
        name: str | None = None,
        args: "Iterable[Any]" = (),
        kwargs: "Mapping[str, Any] | None" = {},  # noqa: B006
        *,
        daemon: bool | None = None,
    ) -> None:
        name = name or f"{type(self).__name__}-{next(_names)}"
        super().__init__(group, target, name, args, kwargs, daemon=daemon)
        self._parent = current_process()

    def start(self) -> None:
        """Start the thread; RuntimeError when it was started before or was made by another thread."""
        if self._parent is not current_process():
            raise RuntimeError("only the thread that made this object can start it")
        super().start()
        _children.setdefault(self._parent, weakref.WeakSet()).add(self)

    @property
    def pid(self) -> int | None:
        """The id of the thread, None before the start."""
        return self.native_id

    @property
    def exitcode(self) -> int | None:
        """None before the start and while the thread runs, then 0."""
        return 0 if self.ident is not None and not self.is_alive() else None


class Namespace(_Open):
    """A bag of attributes; its repr shows those without a leading underscore."""

    def __init__(self, /, **attributes: "Any") -> None:
        self.__dict__.update(attributes)

    def __repr__(self):
        shown = sorted(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"


class Value(Generic[_T]):
    """An object with an attribute `value`; type and lock are accepted and ignored."""

    def __init__(self, typecode: object, value: "_T", lock: object = True) -> None:
        self._typecode = typecode
        self.value = value

    def __repr__(self):
        return f"<{type(self).__name__}({self._typecode!r}, {self.value!r})>"


Process = DummyProcess
JoinableQueue = Queue
current_process = threading.current_thread
dict = builtins.dict
list = builtins.list


def active_children() -> "builtins.list[DummyProcess]":
    """Return the threads that this thread started and that still run."""
    return [child for child in _children.get(current_process(), ()) if child.is_alive()]


def freeze_support() -> None:
    """Do nothing: threads need no preparation."""


def Array(typecode: str, sequence: "Iterable[Any]", lock: object = True) -> "array.array[Any]":
    """Return an `array.array`; the lock is accepted and ignored."""
    return array.array(typecode, sequence)


def Manager() -> "ModuleType":
    """Return this module, which has everything a manager makes."""
    return sys.modules[__name__]


def shutdown() -> None:
    """Do nothing: there is no server."""


def Pool(
    processes: int | None = None, initializer: "Callable[..., object] | None" = None, initargs: "Iterable[Any]" = ()
) -> "ThreadPool":
    """Return a `ThreadPool`."""
    from procession.pool import ThreadPool

    return ThreadPool(processes, initializer, initargs)
