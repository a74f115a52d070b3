"""The proxy classes of what a SyncManager makes, and the two plain objects behind some of them."""

import contextlib
from time import monotonic

from procession._manager import wire
from procession._manager.proxy import BaseProxy, MakeProxyType

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Any, Generic, Self, TypeVar

    _T = TypeVar("_T")
    _R = TypeVar("_R")
else:
    from procession._standard import Generic

    _T = None
    Generator = Generic


class Namespace:
    """A bag of attributes; its repr shows those without a leading underscore."""

    def __init__(self, /, **attributes: "Any") -> None:
        self.__dict__.update(attributes)

    def __repr__(self):
        shown = sorted(f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"


class Value(Generic[_T]):
    """An object with one value; the type code is for the reader, the lock is not needed."""

    def __init__(self, typecode: object, value: "_T", lock: object = True) -> None:
        self._typecode = typecode
        self.value = value

    def get(self) -> "_T":
        """Return the value."""
        return self.value

    def set(self, value: "_T") -> None:
        """Replace the value."""
        self.value = value

    def __repr__(self):
        return f"{type(self).__name__}({self._typecode!r}, {self.value!r})"


class IteratorProxy(BaseProxy, Generator[_T, "Any", "Any"]):
    """An iterator or generator in the server."""

    _exposed_ = ("__next__", "send", "throw", "close")

    def __iter__(self) -> "Self":
        return self

    def __next__(self, *args: "Any") -> "_T":
        return self._callmethod("__next__", args)

    def send(self, *args: "Any") -> "_T":
        """As of a generator."""
        return self._callmethod("send", args)

    def throw(self, *args: "Any") -> "_T":
        """As of a generator."""
        return self._callmethod("throw", args)

    def close(self, *args: "Any") -> None:
        """As of a generator."""
        return self._callmethod("close", args)


class AcquirerProxy(BaseProxy):
    """A lock or a semaphore in the server, owned by threads of clients."""

    _exposed_: tuple[str, ...] = ("acquire", "release", "locked")

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take it and return True; False when it was not free (in time)."""
        return self._callmethod("acquire", (blocking,) if timeout is None else (blocking, timeout))

    def release(self, *args: "Any") -> None:
        """Give it back; RuntimeError or ValueError when it was not taken."""
        return self._callmethod("release", args)

    def locked(self) -> bool:
        """Return whether it is taken."""
        return self._callmethod("locked")

    def __enter__(self) -> bool:
        return self._callmethod("acquire")

    def __exit__(self, *_exception: "type[BaseException] | BaseException | TracebackType | None") -> None:
        return self._callmethod("release")


class ConditionProxy(AcquirerProxy):
    """A condition in the server."""

    _exposed_ = ("acquire", "release", "locked", "wait", "notify", "notify_all")

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock up, block until notified, take it again; False after `timeout` seconds.

        What ends the wait otherwise, such as the exception of a signal handler, is raised with the lock taken again.
        """
        try:
            return self._callmethod("wait", (timeout,))
        except BaseException:
            with contextlib.suppress(Exception):  # the server is gone, or is none of ours
                self._callmethod(wire.RESUME)
            raise

    def notify(self, n: int = 1) -> None:
        """Wake up to `n` waiters."""
        return self._callmethod("notify", (n,))

    def notify_all(self) -> None:
        """Wake all waiters."""
        return self._callmethod("notify_all")

    def wait_for(self, predicate: "Callable[[], _R]", timeout: float | None = None) -> "_R":
        """Wait until `predicate()`, called in this process, is true; return its last value."""
        limit = None if timeout is None else monotonic() + timeout
        while not (result := predicate()):
            left = None if limit is None else limit - monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result


class EventProxy(BaseProxy):
    """An event in the server."""

    _exposed_ = ("is_set", "set", "clear", "wait")

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._callmethod("is_set")

    def set(self) -> None:
        """Set it and wake all waiters."""
        return self._callmethod("set")

    def clear(self) -> None:
        """Unset it."""
        return self._callmethod("clear")

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set; False after `timeout` seconds."""
        return self._callmethod("wait", (timeout,))


class BarrierProxy(BaseProxy):
    """A barrier in the server."""

    _exposed_ = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> int:
        """Block until all parties wait; return this one's number."""
        return self._callmethod("wait", (timeout,))

    def abort(self) -> None:
        """Break the barrier: waiters get BrokenBarrierError."""
        return self._callmethod("abort")

    def reset(self) -> None:
        """Make it whole and empty again."""
        return self._callmethod("reset")

    @property
    def parties(self) -> int:
        """How many it waits for."""
        return self._callmethod("__getattribute__", ("parties",))

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return self._callmethod("__getattribute__", ("n_waiting",))

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._callmethod("__getattribute__", ("broken",))


class NamespaceProxy(BaseProxy):
    """A namespace in the server; names with a leading underscore are attributes of the proxy itself."""

    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__")

    def __getattr__(self, name: str) -> "Any":
        if name[0] == "_":
            return object.__getattribute__(self, name)
        return self._callmethod("__getattribute__", (name,))

    def __setattr__(self, name: str, value: "Any") -> None:
        if name[0] == "_":
            return object.__setattr__(self, name, value)
        return self._callmethod("__setattr__", (name, value))

    def __delattr__(self, name: str) -> None:
        if name[0] == "_":
            return object.__delattr__(self, name)
        return self._callmethod("__delattr__", (name,))


class ValueProxy(BaseProxy, Generic[_T]):
    """A Value in the server."""

    _exposed_ = ("get", "set")

    def get(self) -> "_T":
        """Return the value."""
        return self._callmethod("get")

    def set(self, value: "_T") -> None:
        """Replace the value."""
        return self._callmethod("set", (value,))

    value: "_T" = property(get, set)  # type: ignore[assignment]


ArrayProxy: "type[Any]" = MakeProxyType("ArrayProxy", ("__len__", "__getitem__", "__setitem__"))

_PoolProxy: "Any" = MakeProxyType(
    "_PoolProxy",
    (
        "apply",
        "apply_async",
        "close",
        "imap",
        "imap_unordered",
        "join",
        "map",
        "map_async",
        "starmap",
        "starmap_async",
        "terminate",
    ),
)


class PoolProxy(_PoolProxy):
    """A pool whose workers are children of the server."""

    _method_to_typeid_ = {
        "apply_async": "AsyncResult",
        "map_async": "AsyncResult",
        "starmap_async": "AsyncResult",
        "imap": "Iterator",
        "imap_unordered": "Iterator",
    }

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_exception: "type[BaseException] | BaseException | TracebackType | None") -> None:
        self.terminate()
