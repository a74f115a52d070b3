"""The clients of a listener that have not yet shown that they know the key.

They are looked after side by side, so that one who is silent, slow or gone keeps nobody else waiting. Each has a
limited time and a few hundred bytes, and their number is limited too.
"""

import errno
import socket
import struct
import threading
from time import monotonic

from procession import _exceptions
from procession._procession import wait_readable
from procession._shared.key import LONGEST, receiving

# Seconds from a client's connection until it must have shown that it knows the key, while somebody accepts.
PATIENCE_SECONDS = 10.0
# The most strangers that are looked after at once, and the seconds that the first to come has when there are more.
MOST_STRANGERS = 128
SHORT_PATIENCE_SECONDS = 1.0

_SIZE = struct.Struct("!i")


class Stranger:
    """A client that is being asked for the key.

    Args:
        client: its socket.
        address: what `accept` said of it.
        authkey: bytes that it must know.
    """

    def __init__(self, client, address, authkey):
        self.client, self.address = client, address
        self.since = monotonic()
        self._received = bytearray()
        self._steps = receiving(self._send, authkey)
        next(self._steps)

    def fileno(self):
        """The descriptor that becomes readable when the client says something."""
        return self.client.fileno()

    def _send(self, message):
        # So little fits into any socket whose other side reads.
        framed = _SIZE.pack(len(message)) + message
        if self.client.send(framed, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) != len(framed):
            raise OSError("the client does not read what it is asked")

    def hear(self):
        """Take what has arrived; return whether the client has shown that it knows the key.

        Raises:
            AuthenticationError: it does not know the key.
            EOFError: it is gone.
            OSError: it sends too much, or the system's.
        """
        wanted = _SIZE.size - len(self._received)
        if wanted <= 0:
            wanted += _SIZE.unpack_from(self._received)[0]
        try:
            arrived = self.client.recv(wanted, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not arrived:
            raise EOFError("a client closed its connection before it had shown that it knows the key")
        self._received += arrived
        if len(self._received) < _SIZE.size:
            return False
        (size,) = _SIZE.unpack_from(self._received)
        if not 0 <= size <= LONGEST:
            raise OSError(
                f"a client that has not shown the key sent a bad message length: {size}, {LONGEST} are allowed"
            )
        if len(self._received) < _SIZE.size + size:
            return False
        message = bytes(self._received[_SIZE.size :])
        self._received.clear()
        try:
            self._steps.send(message)
        except StopIteration:
            return True
        return False


class Strangers:
    """All of them, of one listener.

    Args:
        listening: the `SocketListener` that they come from.
        authkey: bytes that they must know.
    """

    def __init__(self, listening, authkey):
        self._listening, self._authkey = listening, authkey
        self._waiting = []  # the first to come is the first
        self._left_at = monotonic()
        self._lock = threading.Lock()

    def next_friend(self):
        """Wait for a client that knows the key; return its socket and address.

        Raises:
            AuthenticationError: a client does not, or took too long.
            EOFError, OSError: a client is gone, or sends too much.
        """
        with self._lock:
            # The time in which nobody listened is no client's fault.
            absence = monotonic() - self._left_at
            for stranger in self._waiting:
                stranger.since += absence
            try:
                while True:
                    friend = self._round()
                    if friend is not None:
                        return friend.client, friend.address
            finally:
                self._left_at = monotonic()

    def close(self):
        """Let go of all of them."""
        while self._waiting:
            self._waiting.pop().client.close()

    def _round(self):
        """Wait until something happens; return a client that has shown that it knows the key."""
        full = len(self._waiting) >= MOST_STRANGERS
        left = None
        if self._waiting:
            patience = SHORT_PATIENCE_SECONDS if full else PATIENCE_SECONDS
            left = self._waiting[0].since + patience - monotonic()
            if left <= 0:
                self._dismiss(self._waiting[0])
                message = f"a client did not show within {patience:g} seconds that it knows the key"
                raise _exceptions.AuthenticationError(message)
        awaited = self._waiting.copy() if full else [self._listening, *self._waiting]
        ready = [awaited[place] for place in wait_readable([one.fileno() for one in awaited], left)]
        for stranger in ready:
            if stranger is not self._listening and self._hear(stranger):
                return stranger
        if self._listening in ready:
            self._meet()
        return None

    def _hear(self, stranger):
        try:
            known = stranger.hear()
        except BaseException:
            self._dismiss(stranger)
            raise
        if known:
            self._waiting.remove(stranger)
        return known

    def _meet(self):
        try:
            client, address = self._listening.accept_socket()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._waiting:
                self._dismiss(self._waiting[0])
            raise
        try:
            self._waiting.append(Stranger(client, address, self._authkey))
        except BaseException:
            client.close()
            raise

    def _dismiss(self, stranger):
        self._waiting.remove(stranger)
        stranger.client.close()
