"""Connections between threads: two queues, and objects go through them as they are."""

import queue

from procession._exceptions import BufferTooShort
from procession._pool import attention

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

__all__ = ["Client", "Listener", "Pipe"]

families: list[None] = [None]


class Connection:
    """One end of a pipe between threads.

    Threads share their ends, so `close` only leaves the end to the others: nobody gets EOFError by it.
    """

    def __init__(self, _in: "Any", _out: "Any") -> None:
        self._in = _in
        self._out = _out

    def send(self, obj: "Any") -> None:
        """Pass the object itself to the other end. Never blocks."""
        self._out.put(obj)

    def recv(self) -> "Any":
        """Return the next object; blocks until there is one."""
        return attention.take(self._in)

    def send_bytes(self, buf: "Any", offset: int = 0, size: int | None = None) -> None:
        """Send a copy of a part of a bytes-like object; ValueError when it has no such part.

        A whole object of another type goes as it is: `recv_bytes` at a relay may have got it from `send`.
        """
        try:
            view = memoryview(buf).cast("B")
        except TypeError:
            if offset or size is not None:
                raise
            self._out.put(buf)
            return
        size = len(view) - offset if size is None else size
        if offset < 0 or size < 0 or offset + size > len(view):
            raise ValueError(f"no {size} bytes at {offset} in a buffer of {len(view)}")
        self._out.put(bytes(view[offset : offset + size]))

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Return the next message; OSError when it has more than `maxlength` bytes."""
        message = attention.take(self._in)
        if maxlength is not None and len(message) > maxlength:
            raise OSError(f"a message of {len(message)} bytes, more than maxlength ({maxlength})")
        return message

    def recv_bytes_into(self, buf: "Any", offset: int = 0) -> int:
        """Put the next message into `buf` and return its length, or raise BufferTooShort(message)."""
        message = attention.take(self._in)
        view = memoryview(buf).cast("B")
        if offset < 0 or offset > len(view):
            raise ValueError(f"no offset {offset} in a buffer of {len(view)} bytes")
        if len(message) > len(view) - offset:
            raise BufferTooShort(message)
        view[offset : offset + len(message)] = message
        return len(message)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Return whether there is something to receive, waiting `timeout` seconds (None: until there is)."""
        with self._in.not_empty:
            if not self._in._qsize():
                if not attention.wait_for(self._in.not_empty, self._in._qsize, timeout):
                    return False
                # We only looked: pass the wake-up on to one who wants to take.
                self._in.not_empty.notify()
            return True

    def close(self) -> None:
        """Do nothing, see the class."""

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_exception: "type[BaseException] | BaseException | TracebackType | None") -> None:
        self.close()


class Listener:
    """Waits for clients in the same process; its `address` is what `Client` takes."""

    def __init__(self, address: "Any" = None, family: "Any" = None, backlog: int = 1, authkey: "Any" = None) -> None:
        self._waiting: Any = queue.Queue(backlog)  # None once it is closed

    def accept(self) -> "Connection":
        """Return the connection to the next client; blocks until one comes, OSError after `close`."""
        if self._waiting is None:
            raise OSError("listener is closed")
        return Connection(*attention.take(self._waiting))

    def close(self) -> None:
        """Take no more clients."""
        self._waiting = None

    @property
    def address(self) -> "Any":
        """Where clients connect to."""
        return self._waiting

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_exception: "type[BaseException] | BaseException | TracebackType | None") -> None:
        self.close()


def Client(address: "Any", family: "Any" = None, authkey: "Any" = None) -> "Connection":
    """Connect to a listener of this process; blocks while `backlog` others wait to be accepted."""
    there, back = _two_queues()
    address.put((there, back))
    return Connection(back, there)


def _two_queues() -> "tuple[queue.Queue[Any], queue.Queue[Any]]":
    return queue.Queue(), queue.Queue()


def Pipe(duplex: bool = True) -> "tuple[Connection, Connection]":
    """Return two connected ends; for `duplex=False` use the first to receive, the second to send."""
    there, back = _two_queues()
    return Connection(there, back), Connection(back, there)
