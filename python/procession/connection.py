"""Messages between processes: pipes, listeners and clients, and the wait for several of them."""

import os
import socket
import tempfile

from procession import _procession as engine
from procession import context, reduction, util
from procession._authentication import (  # noqa: F401  # noqa: F401
    CHALLENGE,
    FAILURE,
    MESSAGE_LENGTH,
    WELCOME,
    _create_response,
    _verify_challenge,
    answer_challenge,
    deliver_challenge,
)

__all__ = ["Client", "Listener", "Pipe", "wait"]

# Names that programs look for here.
_CHALLENGE, _WELCOME, _FAILURE = CHALLENGE, WELCOME, FAILURE
_ForkingPickler = reduction.ForkingPickler

BUFSIZE = 8192
CONNECTION_TIMEOUT = 20.0

families = ["AF_INET", "AF_UNIX"]
default_family = "AF_UNIX"

dumps = engine.dumps


class Connection(engine.Connection):
    """One end of a pipe or socket.

    Every receiving method waits for a message and raises EOFError when the other side is closed and nothing is left;
    every method raises OSError when the connection is closed or is not for that direction.
    """

    def recv_bytes(self, maxlength=None):
        """Receive a message as bytes.

        Raises:
            OSError: it is longer than `maxlength`; the connection cannot be read any more.
        """
        if maxlength is not None and maxlength < 0:
            raise ValueError("maxlength is negative")
        message = self._receive(maxlength)
        if message is None:
            self._stop_reading()
            raise OSError("bad message length")
        return message

    def recv_bytes_into(self, buf, offset=0):
        """Receive a message into a writable buffer, from byte `offset` on.

        Returns:
            The length of the message.

        Raises:
            BufferTooShort: the message, in its first argument, does not fit.
        """
        with memoryview(buf) as whole, whole.cast("B") as room:
            if offset < 0:
                raise ValueError("the offset is negative")
            if offset > len(room):
                raise ValueError("the offset lies behind the buffer")
            message = self.recv_bytes()
            if len(message) > len(room) - offset:
                raise context.BufferTooShort(message)
            room[offset : offset + len(message)] = message
        return len(message)

    def poll(self, timeout=0.0):
        """Return whether there is something to receive, or the other side is closed.

        Args:
            timeout: seconds to wait for it; None is no limit.
        """
        return self._poll(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __reduce__(self):
        return rebuild_connection, (reduction.DupFd(self.fileno()), self.readable, self.writable)


def rebuild_connection(df, readable, writable):
    """Return the connection that another process pickled."""
    return Connection(df.detach(), readable, writable)


def Pipe(duplex=True):
    """Return two connections, the ends of a pipe.

    Args:
        duplex: whether both can send and receive; otherwise the first only receives, the second only sends.
    """
    if duplex:
        first, second = socket.socketpair()
        return Connection(first.detach()), Connection(second.detach())
    reading, writing = os.pipe()
    return Connection(reading, writable=False), Connection(writing, readable=False)


def wait(object_list, timeout=None):
    """Wait until something in the list is ready: a connection or socket with something to read, a sentinel.

    Args:
        object_list: what has a `fileno()`, or numbers of descriptors.
        timeout: seconds; None is no limit.

    Returns:
        Those that are ready; an empty list when the time ran out.
    """
    objects = list(object_list)
    descriptors = [obj if isinstance(obj, int) else obj.fileno() for obj in objects]
    if any(descriptor < 0 for descriptor in descriptors):
        raise ValueError("a descriptor in the list is closed")
    return [objects[place] for place in engine.wait_readable(descriptors, timeout)]


def arbitrary_address(family):
    """Return an address that nobody uses."""
    if family == "AF_INET":
        return ("localhost", 0)
    if family == "AF_UNIX":
        # The directory is this process's own, for no other user.
        return tempfile.mktemp(prefix="listener-", dir=util.get_temp_dir())
    raise ValueError("unrecognized family")


def address_type(address):
    """Return the family of an address: AF_INET for a tuple, AF_UNIX for a path."""
    if isinstance(address, tuple):
        return "AF_INET"
    if isinstance(address, str) and address.startswith("\\\\"):
        return "AF_PIPE"
    if isinstance(address, str) or util.is_abstract_socket_namespace(address):
        return "AF_UNIX"
    raise ValueError(f"address type of {address!r} unrecognized")


def _check_family(family):
    if family == "AF_PIPE" or (family == "AF_UNIX" and not hasattr(socket, family)):
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
    """

    def __init__(self, address=None, family=None, backlog=1, authkey=None):
        family = family or (address and address_type(address)) or default_family
        address = address or arbitrary_address(family)
        _check_family(family)
        _check_key(authkey)
        self._listener = SocketListener(address, family, backlog)
        self._authkey = authkey

    def accept(self):
        """Wait for a client and return the connection to it.

        Raises:
            AuthenticationError: it does not know the key.
        """
        if self._listener is None:
            raise OSError("listener is closed")
        connection = self._listener.accept()
        if self._authkey is not None:
            try:
                deliver_challenge(connection, self._authkey)
                answer_challenge(connection, self._authkey)
            except BaseException:
                connection.close()
                raise
        return connection

    def close(self):
        """Close the socket and remove its path."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    @property
    def address(self):
        """The address that clients connect to."""
        return self._listener._address

    @property
    def last_accepted(self):
        """The address of the last client, where it has one."""
        return self._listener._last_accepted

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


def Client(address, family=None, authkey=None):
    """Connect to a listener and return the connection.

    Raises:
        AuthenticationError: the other side does not know the key.
    """
    family = family or address_type(address)
    _check_family(family)
    _check_key(authkey)
    connection = SocketClient(address)
    if authkey is not None:
        try:
            answer_challenge(connection, authkey)
            deliver_challenge(connection, authkey)
        except BaseException:
            connection.close()
            raise
    return connection


class SocketListener:
    """The socket behind a `Listener`."""

    def __init__(self, address, family, backlog=1):
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
        if family == "AF_UNIX" and not util.is_abstract_socket_namespace(address):
            # After the children have been waited for, which may still fetch descriptors through such a socket.
            self._unlink = util.Finalize(self, os.unlink, args=(address,), exitpriority=-60)

    def accept(self):
        """Wait for a client and return the connection to it."""
        # Waiting by the engine lets no signal slip past.
        wait([self._socket])
        accepted, self._last_accepted = self._socket.accept()
        return Connection(accepted.detach())

    def close(self):
        """Close the socket and remove its path."""
        try:
            self._socket.close()
        finally:
            unlink, self._unlink = self._unlink, None
            if unlink is not None:
                unlink()


def SocketClient(address):
    """Return a connection to the socket at `address`."""
    with socket.socket(getattr(socket, address_type(address))) as client:
        client.connect(address)
        return Connection(client.detach())


def __getattr__(name):
    if name in ("ConnectionWrapper", "XmlClient", "XmlListener"):
        from procession import _xml

        return getattr(_xml, name)
    if name in ("AuthenticationError", "BufferTooShort"):
        return getattr(context, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
