"""Pickling for other processes: descriptors, sockets, bound methods, and by value what children cannot import."""

import _pickle as pickle  # without what `pickle` loads
import io
import os

from procession import _procession as engine
from procession._objects import buffers
from procession._objects.descriptors import DupFd, InheritedFd, recvfds, sendfds  # noqa: F401
from procession._objects.reducers import (  # noqa: F401
    _rebuild_socket,
    _socket as _reduce_socket,  # noqa: F401
    dispatch_table,
    finder,
    registered,
)

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from procession._typed.protocols import Writer as _Writer
    from procession.connection import Connection

    _T = TypeVar("_T")


__all__ = [
    "DupFd", "ForkingPickler", "HAVE_SEND_HANDLE", "dump", "recv_handle", "recvfds", "register", "send_handle",
    "sendfds",
]  # fmt: skip

HAVE_SEND_HANDLE = True


class ForkingPickler(pickle.Pickler):
    """A pickler for messages between processes, which other modules teach their types by `register`."""

    _extra_reducers = registered

    def __init__(self, file, protocol=None, *args, **options):
        protocol = buffers.PROTOCOL if protocol is None else protocol
        super().__init__(file, protocol, *args, **options)
        offers = protocol < 0 or protocol >= buffers.PROTOCOL  # earlier protocols know no buffers
        if hasattr(type(self), "reducer_override"):
            self.dispatch_table = dispatch_table(buffers=offers)
        else:
            self.dispatch_table = engine.registered_reducers()
            self.reducer_override = finder(buffers=offers).reduce  # type: ignore[method-assign]

    @classmethod
    def register(cls, type: "type[_T]", reduce: "Callable[[_T], str | tuple[Any, ...]]") -> None:
        """Have `reduce` pickle the objects of a type."""
        cls._extra_reducers[type] = reduce

    @classmethod
    def dumps(cls, obj: object, protocol: int | None = None) -> memoryview:
        """Return the pickle of `obj`, with the functions and classes in it by value that others could not import.

        Raises:
            PicklingError, TypeError, AttributeError: it cannot be pickled; the text says where the culprit is.
        """
        buffer = io.BytesIO()
        failed = True
        try:
            buffers.dump(cls, obj, buffer, protocol)
            failed = False
        except buffers.NOT_BY_NAME as error:
            engine.pickled(True)
            from procession._objects import culprit

            raise culprit.with_path(error, obj) from error.__cause__
        finally:
            engine.pickled(failed)
        return buffer.getbuffer()

    loads = staticmethod(pickle.loads)


register = ForkingPickler.register


def dump(obj: object, file: "_Writer", protocol: int | None = None) -> None:
    """Write the pickle of `obj` to a file, as `ForkingPickler.dumps` makes it."""
    file.write(ForkingPickler.dumps(obj, protocol))


def send_handle(conn: "Connection", handle: int, destination_pid: int | None, timeout: float | None = None) -> None:
    """Send a descriptor over a connection; from Python 3.14 on it waits until it is taken.

    Args:
        conn: the connection, over a unix socket.
        handle: the descriptor.
        destination_pid: not used here.
        timeout: seconds; None is no limit. Afterwards the connection is good for nothing else.

    Raises:
        TimeoutError: nobody took it in time.
    """
    import socket

    with socket.socket(fileno=os.dup(conn.fileno())) as sock:
        sock.settimeout(timeout)
        sendfds(sock, [handle])


def recv_handle(conn: "Connection") -> int:
    """Receive a descriptor from a connection."""
    import socket

    with socket.socket(fileno=os.dup(conn.fileno())) as sock:
        sock.setblocking(True)
        return recvfds(sock, 1)[0]


class AbstractReducer:
    """A base for replacements of this module, given to `context.reducer`."""

    ForkingPickler = ForkingPickler
    register = register
    dump = dump
    send_handle = send_handle
    recv_handle = recv_handle
    DupFd = DupFd
