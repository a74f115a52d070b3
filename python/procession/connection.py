"""Messages between processes: pipes, listeners and clients, and the wait for several of them."""

import _socket  # without what `socket` loads
import os
import sys

from procession import _exceptions, _procession as engine, reduction, util
from procession._objects.descriptors import pipe

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Literal, Self

    from typing_extensions import Buffer

    _Address = str | bytes | tuple[str, int]
    _Family = Literal["AF_INET", "AF_UNIX"]

    from procession._exceptions import AuthenticationError as AuthenticationError, BufferTooShort as BufferTooShort
    from procession._shared.key import answer_challenge as answer_challenge, deliver_challenge as deliver_challenge
    from procession._typed.protocols import _Waitable


__all__ = ["Client", "Listener", "Pipe", "wait"]

# Names that programs look for here.
_ForkingPickler = reduction.ForkingPickler
_OF_KEYS = (
    "CHALLENGE", "FAILURE", "MESSAGE_LENGTH", "WELCOME", "_create_response", "_verify_challenge", "answer_challenge",
    "deliver_challenge",
)  # fmt: skip

BUFSIZE = 64 * 1024
CONNECTION_TIMEOUT = 20.0

families = ["AF_INET", "AF_UNIX"]
default_family = "AF_UNIX"

dumps = engine.dumps


class Connection(engine.Connection):
    """One end of a pipe or socket.

    Every receiving method waits for a message and raises EOFError when the other side is closed and nothing is left;
    every method raises OSError when the connection is closed or is not for that direction. Sending waits while the pipe
    is full; BrokenPipeError or ConnectionResetError, both OSErrors, tell that the other side is closed.

    Args:
        handle: the number of a descriptor, which the connection owns from then on.
        readable, writable: for which directions it is.

    Raises:
        OSError, ValueError: `handle` is no descriptor; it is for no direction.
    """

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Receive a message as bytes.

        Args:
            maxlength: how many bytes it may have; None is no limit.

        Raises:
            OSError: it is longer; the connection cannot be read any more.
            ValueError: `maxlength` is negative.
        """
        if maxlength is not None and maxlength < 0:
            raise ValueError("maxlength is negative")
        message = self._receive(None if maxlength is None else min(maxlength, sys.maxsize))
        if message is None:
            self._stop_reading()
            raise OSError("bad message length")
        return message

    def recv_bytes_into(self, buf: "Buffer", offset: int = 0) -> int:
        """Receive a message into a writable buffer, from byte `offset` on.

        Returns:
            The length of the message.

        Raises:
            BufferTooShort: the message, in its first argument, does not fit.
            ValueError: `offset` lies outside of the buffer.
        """
        with memoryview(buf) as whole, whole.cast("B") as room:
            if offset < 0:
                raise ValueError("the offset is negative")
            if offset > len(room):
                raise ValueError("the offset lies behind the buffer")
            message = self.recv_bytes()
            if len(message) > len(room) - offset:
                raise _exceptions.BufferTooShort(message)
            room[offset : offset + len(message)] = message
        return len(message)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Return whether there is something to receive, or the other side is closed.

        Args:
            timeout: seconds to wait for it; None is no limit.
        """
        return self._poll(timeout)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: "type[BaseException] | BaseException | TracebackType | None") -> None:
        self.close()

    def __reduce__(self):
        return rebuild_connection, (reduction.DupFd(self.fileno()), self.readable, self.writable)


def rebuild_connection(df: "Any", readable: bool, writable: bool) -> "Connection":
    """Return the connection that another process pickled."""
    return Connection(df.detach(), readable, writable)


def Pipe(duplex: bool = True) -> "tuple[Connection, Connection]":
    """Return two connections, the ends of a pipe.

    Args:
        duplex: whether both can send and receive; otherwise the first only receives, the second only sends.
    """
    if duplex:
        first, second = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        return Connection(engine.above_streams(first.detach())), Connection(engine.above_streams(second.detach()))
    reading, writing = pipe()
    return Connection(reading, writable=False), Connection(writing, readable=False)


def wait(object_list: "Iterable[_Waitable]", timeout: float | None = None) -> "list[_Waitable]":
    """Wait until something in the list is ready: a connection or socket with something to read, a sentinel.

    Args:
        object_list: what has a `fileno()`, or numbers of descriptors; and ends of pipes of a cluster, which are asked
            again and again.
        timeout: seconds; None is no limit.

    Returns:
        Those that are ready; an empty list when the time ran out.

    Without a limit an empty list is waited for until a signal handler raises.

    Raises:
        OSError: a connection in the list is closed, or a number is no open descriptor.
        ValueError: something in the list is not what one can wait for, or is a closed socket.
        TypeError: `timeout` is no number.
    """
    objects = list(object_list)
    strange = [obj for obj in objects if not isinstance(obj, int) and not hasattr(obj, "fileno")]
    if strange:
        raise ValueError(f"cannot wait for {strange[0]!r}: it has no fileno()")
    try:
        descriptors = [obj if isinstance(obj, int) else obj.fileno() for obj in objects]
    except NotImplementedError:
        far = next((obj for obj in objects if hasattr(obj, "_wait_with")), None)
        if far is None:
            raise
        return far._wait_with(objects, timeout)
    if any(descriptor < 0 for descriptor in descriptors):
        raise ValueError("a descriptor in the list is closed")
    return [objects[place] for place in engine.wait_readable(descriptors, timeout)]


def arbitrary_address(family: str) -> "Any":
    """Return an address that nobody uses."""
    if family == "AF_INET":
        return ("localhost", 0)
    if family == "AF_UNIX":
        # The directory is this process's own, for no other user.
        import tempfile

        return tempfile.mktemp(prefix="listener-", dir=util.get_temp_dir())
    raise ValueError("unrecognized family")


def address_type(address: object) -> str:
    """Return the family of an address: AF_INET for a tuple, AF_UNIX for a path."""
    if isinstance(address, tuple):
        return "AF_INET"
    if isinstance(address, str) and address.startswith("\\\\"):
        return "AF_PIPE"
    if isinstance(address, str) or util.is_abstract_socket_namespace(address):
        return "AF_UNIX"
    raise ValueError(f"address type of {address!r} unrecognized")


def _check_family(family):
    if family == "AF_PIPE" or (family == "AF_UNIX" and not hasattr(_socket, family)):
        raise ValueError(f"Family {family} is not recognized.")


def _check_key(authkey):
    if authkey is not None and not isinstance(authkey, bytes):
        raise TypeError("authkey should be a byte string")


class Listener:
    """A socket that clients connect to.

    Args:
        address: a path, or a host and a port; without one, a path that nobody uses.
        family: "AF_UNIX" or "AF_INET"; without one, that of the address.
        backlog: how many clients may wait to be accepted.
        authkey: bytes that both sides must know; without them nobody is asked.

    A path that was made up lies in a directory of this user's own, and only this user's processes are let in.

    Raises:
        OSError: the address is in use, or the system refuses it.
        ValueError: there is no such family.
        TypeError: `authkey` is no bytes.
    """

    def __init__(
        self,
        address: "_Address | None" = None,
        family: "_Family | None" = None,
        backlog: int = 1,
        authkey: bytes | None = None,
    ) -> None:
        kind: str = family or (address and address_type(address)) or default_family
        own = kind == "AF_UNIX" and not address
        address = address or arbitrary_address(kind)
        _check_family(kind)
        _check_key(authkey)
        self._listener: Any = SocketListener(address, kind, backlog)  # None once it is closed
        self._listener.own_user_only = own
        self._strangers = None
        if authkey is not None:
            from procession._shared.strangers import Strangers

            self._strangers = Strangers(self._listener, authkey)

    def accept(self) -> "Connection":
        """Wait for a client and return the connection to it.

        Clients are asked for the key side by side, so one that is silent keeps no other waiting; it gets ten seconds.
        After an error about one client the listener serves the next as if nothing had been.

        Raises:
            AuthenticationError: a client does not know the key, did not show it in time, or is another user's.
            EOFError: a client went away before it had shown the key.
            OSError: the listener is closed; a client sent too much before it had shown the key; or the system's.
        """
        if self._listener is None:
            raise OSError("listener is closed")
        if self._strangers is None:
            return self._listener.accept()
        client, self._listener._last_accepted = self._strangers.next_friend()
        return Connection(client.detach())

    def close(self) -> None:
        """Close the socket and remove its path."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            if self._strangers is not None:
                self._strangers.close()

    @property
    def address(self) -> "Any":
        """The address that clients connect to.

        Raises:
            AttributeError: the listener is closed.
        """
        return self._of_socket("address")

    @property
    def last_accepted(self) -> "Any":
        """The address of the last client, where it has one; None before the first.

        Raises:
            AttributeError: the listener is closed.
        """
        return self._of_socket("last_accepted")

    def _of_socket(self, name):
        if self._listener is None:
            raise AttributeError(f"the listener is closed: it has no {name} any more", name=name, obj=self)
        return getattr(self._listener, f"_{name}")

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *exc_info: "type[BaseException] | BaseException | TracebackType | None") -> None:
        self.close()


def Client(address: "_Address", family: "_Family | None" = None, authkey: bytes | None = None) -> "Connection":
    """Connect to a listener and return the connection.

    With a key this waits until the listener accepts, as long as that takes; a signal ends the wait.

    Args:
        address: of the listener: a path, or a host and a port.
        family: "AF_UNIX" or "AF_INET"; without one, that of the address.
        authkey: bytes that both sides must know; None if the listener asks for none.

    Raises:
        AuthenticationError: the other side does not know the key.
        OSError: nobody listens there, or the system refuses it.
        EOFError: the listener went away meanwhile.
        TypeError, ValueError: an argument makes no sense.
    """
    _check_family(family or address_type(address))
    _check_key(authkey)
    connection = SocketClient(address)
    if authkey is not None:
        from procession._shared.key import answer_challenge, deliver_challenge

        try:
            answer_challenge(connection, authkey)
            deliver_challenge(connection, authkey)
        except BaseException:
            connection.close()
            raise
    return connection


class SocketListener:
    """The socket behind a `Listener`."""

    def __init__(self, address: "_Address", family: str, backlog: int = 1) -> None:
        import socket

        self._socket = socket.socket(getattr(socket, family))
        self._unlink = None
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._socket.listen(backlog)
            self._address = self._socket.getsockname()
        except BaseException:
            self._socket.close()
            raise
        self._family = family
        self._last_accepted = None
        self.own_user_only = False
        if family == "AF_UNIX" and not util.is_abstract_socket_namespace(address):
            # After the children have been waited for, which may still fetch descriptors through such a socket.
            self._unlink = util.Finalize(self, os.unlink, args=(address,), exitpriority=-60)

    def fileno(self) -> int:
        """The descriptor that is readable when somebody connects."""
        return self._socket.fileno()

    def accept(self) -> "Connection":
        """Wait for a client and return the connection to it."""
        # Waiting by the engine lets no signal slip past.
        wait([self])
        accepted, self._last_accepted = self.accept_socket()
        return Connection(accepted.detach())

    def accept_socket(self) -> "tuple[_socket.socket, Any]":
        """Return the socket of a client that waits, and its address.

        Raises:
            AuthenticationError: it is another user's, and the address is for this user only.
        """
        accepted, address = self._socket.accept()
        if self.own_user_only:
            user = _user_behind(accepted)
            if user not in (os.geteuid(), 0):
                accepted.close()
                raise _exceptions.AuthenticationError(f"a process of another user connected: user id {user}")
        return accepted, address

    def close(self) -> None:
        """Close the socket and remove its path."""
        try:
            self._socket.close()
        finally:
            unlink, self._unlink = self._unlink, None
            if unlink is not None:
                unlink()


def _user_behind(connected):
    """Return the user id of the process that connected, as the kernel noted it."""
    from struct import Struct

    credentials = Struct("iII")  # a process, its user, its group
    _, user, _ = credentials.unpack(connected.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, credentials.size))
    return user


def SocketClient(address: "_Address") -> "Connection":
    """Return a connection to the socket at `address`."""
    import socket

    with socket.socket(getattr(socket, address_type(address))) as client:
        client.connect(address)
        return Connection(client.detach())


# -- plain values only, so that nothing in a message can run code ------------------------------------------------------


class ConnectionWrapper:
    """A connection whose `send` and `recv` use another serializer than pickle.

    Args:
        conn: the connection.
        dumps: makes bytes of an object.
        loads: makes an object of bytes.
    """

    def __init__(self, conn: "Connection", dumps: "Callable[[Any], bytes]", loads: "Callable[[bytes], Any]") -> None:
        self._conn = conn
        self._dumps = dumps
        self._loads = loads
        for name in ("fileno", "close", "poll", "recv_bytes", "send_bytes"):
            setattr(self, name, getattr(conn, name))

    def send(self, obj: "Any") -> None:
        """Send an object; waits while the pipe is full."""
        self._conn.send_bytes(self._dumps(obj))

    def recv(self) -> "Any":
        """Receive an object, waiting for it; EOFError when the other side is closed and nothing is left."""
        return self._loads(self._conn.recv_bytes())


def _xml_dumps(obj):
    """Return the bytes of a plain value; TypeError for what XML-RPC does not know."""
    from xmlrpc.client import dumps

    return dumps((obj,), allow_none=True).encode()


def _xml_loads(message):
    """Return the value that `_xml_dumps` got; tuples have become lists."""
    from xmlrpc.client import loads

    ((value,), _method) = loads(message.decode())
    return value


class XmlListener(Listener):
    """A listener whose connections send plain values as XML-RPC."""

    def accept(self) -> "ConnectionWrapper":  # type: ignore[override]
        """Wait for a client and return the connection to it; AuthenticationError when it does not know the key."""
        return ConnectionWrapper(super().accept(), _xml_dumps, _xml_loads)


def XmlClient(*args: "Any", **kwds: "Any") -> "ConnectionWrapper":
    """Connect to an `XmlListener` and return the connection; the arguments are those of `Client`."""
    return ConnectionWrapper(Client(*args, **kwds), _xml_dumps, _xml_loads)


def __getattr__(name):
    if name in ("AuthenticationError", "BufferTooShort"):
        return getattr(_exceptions, name)
    if name.removeprefix("_") in _OF_KEYS or name in _OF_KEYS:
        from procession._shared import key

        return getattr(key, name if name in _OF_KEYS else name.removeprefix("_"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
