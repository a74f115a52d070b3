"""What a program and its processes on the nodes share: proxies with the methods that a context's objects have.

What goes through a queue is pickled by who puts it and opened by who gets it: the server keeps bytes.
"""

import ctypes
import threading

from procession._cluster.packing import Sealed, seal_item
from procession._manager.proxy import BaseProxy
from procession._manager.types import BarrierProxy, ConditionProxy, EventProxy

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = [
    "Array", "Barrier", "Condition", "Event", "JoinableQueue", "Lock", "Queue", "Semaphore", "SimpleQueue", "Value",
    "simple_type",
]  # fmt: skip

_NOT_HERE = "memory is shared within one machine only: read and write by the methods, or have a copy as a slice"


def _limits(block, timeout):
    """Return how a server waits, for the arguments that methods here have."""
    if not block:
        return (False,)
    if timeout is None:
        return (True,)
    return True, _seconds(timeout)


def _seconds(timeout):
    if timeout is None:
        return None
    if isinstance(timeout, str | bytes) or not hasattr(timeout, "__float__"):
        raise TypeError(f"a timeout is a number of seconds or None, not {type(timeout).__name__}")
    return min(max(0.0, float(timeout)), threading.TIMEOUT_MAX)


class _Taken(BaseProxy):
    """What can be taken, by one thread or several."""

    def acquire(self, block: bool = True, timeout: "float | None" = None) -> bool:
        """Take it and return True; False when it was not free (in time)."""
        return self._callmethod("acquire", _limits(block, timeout))

    def release(self) -> None:
        """Give it back."""
        self._callmethod("release")

    def __enter__(self) -> bool:
        return self._callmethod("acquire", (True,))

    def __exit__(self, *_exception: object) -> None:
        self._callmethod("release")


class Lock(_Taken):
    """A lock, re-entrant or not, for all nodes. It goes on to the next one when its owner ends, or its node is lost."""

    _exposed_ = ("acquire", "release", "locked")

    def locked(self) -> bool:
        """Return whether it is taken."""
        return self._callmethod("locked")


class Semaphore(_Taken):
    """A semaphore for all nodes, bounded or not."""

    _exposed_ = ("acquire", "release", "get_value", "locked")

    def get_value(self) -> int:
        """Return how many permits are left."""
        return self._callmethod("get_value")

    def locked(self) -> bool:
        """Return whether no permit is left."""
        return self._callmethod("locked")


class Condition(ConditionProxy):
    """A condition for all nodes."""

    def acquire(self, block: bool = True, timeout: "float | None" = None) -> bool:
        """Take its lock and return True; False when it was not free (in time)."""
        return self._callmethod("acquire", _limits(block, timeout))

    def wait(self, timeout: "float | None" = None) -> bool:
        """Give the lock up, block until notified, take it again; False after `timeout` seconds."""
        return self._callmethod("wait", (_seconds(timeout),))


class Event(EventProxy):
    """An event for all nodes."""

    def wait(self, timeout: "float | None" = None) -> bool:
        """Block until it is set; False after `timeout` seconds."""
        return self._callmethod("wait", (_seconds(timeout),))


class Barrier(BarrierProxy):
    """A barrier for all nodes; its action runs in the server of the objects."""


class Queue(BaseProxy):
    """A queue for all nodes."""

    _exposed_: tuple[str, ...] = ("empty", "full", "get", "join", "put", "qsize", "task_done")
    _is_closed = False

    def put(self, obj: "Any", block: bool = True, timeout: "float | None" = None) -> None:
        """Put an object; `queue.Full` when there is no room for it (in time)."""
        self._check_open()
        self._callmethod("put", (seal_item(obj), *_limits(block, timeout)))

    def get(self, block: bool = True, timeout: "float | None" = None) -> "Any":
        """Take an object out and return it; `queue.Empty` when there is none (in time)."""
        self._check_open()
        came = self._callmethod("get", _limits(block, timeout))
        return came.open() if type(came) is Sealed else came

    def put_many(self, objects: "Iterable[Any]", block: bool = True, timeout: "float | None" = None) -> None:
        """Put several objects, each as `put` does."""
        for obj in objects:
            self.put(obj, block, timeout)

    def put_nowait(self, obj: "Any") -> None:
        """Put an object; `queue.Full` when there is no room for it now."""
        self.put(obj, False)

    def get_nowait(self) -> "Any":
        """Take an object out and return it; `queue.Empty` when there is none now."""
        return self.get(False)

    def qsize(self) -> int:
        """Return how many objects are in it."""
        return self._callmethod("qsize")

    def empty(self) -> bool:
        """Return whether there is nothing in it."""
        return self._callmethod("empty")

    def full(self) -> bool:
        """Return whether there is no room in it."""
        return self._callmethod("full")

    def close(self) -> None:
        """Have this process put and get nothing any more."""
        self._is_closed = True

    def join_thread(self) -> None:
        """Return: what is put is in the queue when `put` returns."""

    def cancel_join_thread(self) -> None:
        """Return: nothing is waited for at the end."""

    def _check_open(self):
        if self._is_closed:
            raise ValueError(f"Queue {self!r} is closed")


class JoinableQueue(Queue):
    """A queue for all nodes that knows how many of its objects are yet to be done."""

    def task_done(self) -> None:
        """Report that one object that was taken out is done; ValueError when all are."""
        self._callmethod("task_done")

    def join(self) -> None:
        """Wait until all objects that were put are reported done."""
        self._callmethod("join")


class SimpleQueue(BaseProxy):
    """A queue for all nodes with the fewest methods."""

    _exposed_ = ("empty", "get", "put")
    _is_closed = False

    def put(self, obj: "Any") -> None:
        """Put an object."""
        self._check_open()
        self._callmethod("put", (seal_item(obj),))

    def get(self) -> "Any":
        """Take an object out and return it; waits for one."""
        self._check_open()
        came = self._callmethod("get")
        return came.open() if type(came) is Sealed else came

    def empty(self) -> bool:
        """Return whether there is nothing in it."""
        self._check_open()
        return self._callmethod("empty")

    def close(self) -> None:
        """Have this process put and get nothing any more."""
        self._is_closed = True

    def _check_open(self):
        if self._is_closed:
            raise OSError("handle is closed")


class _Guarded(BaseProxy):
    """What has a lock of its own, a proxy of one, or None."""

    _lock: "Any" = None

    def get_lock(self) -> "Any":
        """Return the lock."""
        if self._lock is None:
            raise AttributeError(f"this {type(self).__name__} was made without a lock")
        return self._lock

    def get_obj(self) -> "Any":
        """Raise NotImplementedError: there is no memory of it here."""
        raise NotImplementedError(_NOT_HERE)

    def acquire(self, block: bool = True, timeout: "float | None" = None) -> bool:
        """Take the lock and return True; False when it was not free (in time)."""
        return self.get_lock().acquire(block, timeout)

    def release(self) -> None:
        """Give the lock back."""
        self.get_lock().release()

    def __enter__(self) -> bool:
        return self.get_lock().__enter__()

    def __exit__(self, *exception: object) -> None:
        self.get_lock().__exit__(*exception)

    def guard(self, lock):
        """Have this lock; return itself."""
        self._lock = lock
        return self

    def __reduce__(self):
        return _guarded, (*super().__reduce__(), self._lock)


def _guarded(rebuild, arguments, lock):
    return rebuild(*arguments).guard(lock)


class Value(_Guarded):
    """A value for all nodes."""

    _exposed_ = ("get", "set")

    @property
    def value(self) -> "Any":
        """The value; to read it and then write it, take the lock."""
        return self._callmethod("get")

    @value.setter
    def value(self, value: "Any") -> None:
        self._callmethod("set", (value,))


class Array(_Guarded):
    """An array of values for all nodes: each access travels, a slice at once."""

    _exposed_ = ("__getitem__", "__len__", "__setitem__", "get", "get_raw", "set", "set_raw")

    def __len__(self) -> int:
        return self._callmethod("__len__")

    def __getitem__(self, index: "int | slice") -> "Any":
        return self._callmethod("__getitem__", (index,))

    def __setitem__(self, index: "int | slice", value: "Any") -> None:
        self._callmethod("__setitem__", (index, value))

    def __iter__(self):
        return iter(self[:])

    @property
    def value(self) -> "Any":
        """The characters before the first zero, of an array of characters."""
        return self._callmethod("get")

    @value.setter
    def value(self, value: "Any") -> None:
        self._callmethod("set", (value,))

    @property
    def raw(self) -> bytes:
        """All bytes, of an array of characters."""
        return self._callmethod("get_raw")

    @raw.setter
    def raw(self, data: bytes) -> None:
        self._callmethod("set_raw", (data,))


def simple_type(typecode_or_type: "Any") -> "Any":
    """Return the ctypes type that a letter stands for, or that is given.

    Raises:
        TypeError: it is none, or one whose values make no sense on another machine.
    """
    from procession.sharedctypes import _type_of

    ctype = _type_of(typecode_or_type)
    if not issubclass(ctype, ctypes._SimpleCData) or ctype._type_ in "OPXZz":
        raise TypeError(
            f"a value or array on a cluster is of numbers or characters, not of {ctype.__name__}: "
            "use Manager().Namespace(), list() or dict() for what has parts"
        )
    return ctype
