"""Pipes between processes on any nodes: what is sent waits in the server of objects until it is received.

An end is open as long as a process has it, or it is on its way to one: it has a ticket then, which is the sender's
until the receiver hands it in. Who ends lets go of the ends that it has, so the other side learns of that.
"""

import os
import pickle
import threading
from collections import deque
from functools import partial
from time import monotonic

from procession import process, util
from procession._cluster.packing import Sealed, seal_item
from procession._manager import holders
from procession._manager.proxy import BaseProxy
from procession.connection import wait

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Pipe", "PipeProxy"]

# The pause between two looks of who waits for several ends.
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.001, 0.05
MOST_WAITING = 4096  # what was sent and not received; then senders wait


class _Side:
    """One side of a pipe, which processes hold."""

    def __init__(self, wake):
        self.items = deque()
        self.count = 0
        self._wake = wake

    def take(self, client):
        client.hold(self)
        self.count += 1

    def drop(self, client):
        with holders.notes:
            if client.held.get(self):
                client.let_go(self)
                self.count -= 1

    def holder_ended(self, _client, count):
        """A process that has it so many times has ended."""
        self.count -= count
        # Not by this thread: it has what the one waits for that has the lock of the pipe.
        threading.Thread(target=self._wake, daemon=True).start()


class Pipe:
    """A pipe, in the server."""

    def __init__(self):
        self._changed = threading.Condition()
        self._sides = _Side(self._wake), _Side(self._wake)
        self._tickets = {}  # whose they are

    def _wake(self):
        with self._changed:
            self._changed.notify_all()

    def acquire(self, number, ticket=None, sends=False):
        """The caller has an end of a side from now on, or sends one off."""
        client, _thread = holders.acting_for()
        side = self._sides[number]
        with self._changed:
            side.take(client)
            if sends:
                self._tickets[ticket] = client
            elif (sender := self._tickets.pop(ticket, None)) is not None:
                side.drop(sender)
        return True

    def undo_acquire(self, _told):
        """A process that has ended has let go already."""

    def release(self, number, ticket=None):
        """The caller has one end of a side less, or what it sent off does not arrive."""
        with self._changed:
            client = holders.acting_for()[0] if ticket is None else self._tickets.pop(ticket, None)
            if client is not None:
                self._sides[number].drop(client)
                self._changed.notify_all()

    def put(self, number, item):
        """Send to the other side; BrokenPipeError when nobody has an end of that."""
        other, (client, _thread) = self._sides[1 - number], holders.acting_for()
        with self._changed:
            self._changed.wait_for(lambda: len(other.items) < MOST_WAITING or not other.count or client.ended)
            if not other.count:
                raise BrokenPipeError(32, "Broken pipe: nobody has the other end")
            other.items.append(item)
            self._changed.notify_all()

    def get(self, number):
        """Return the number of a side and what has come there; EOFError when nothing can come any more."""
        client, _thread = holders.acting_for()
        side, other = self._sides[number], self._sides[1 - number]
        with self._changed:
            self._changed.wait_for(lambda: side.items or not other.count or client.ended)
            if client.ended:
                raise holders.ClientGone("the process that waited at a pipe has ended")
            if not side.items:
                raise EOFError("the other side is closed")
            self._changed.notify_all()
            return number, side.items.popleft()

    def put_back(self, came):
        """The receiver has ended before this came."""
        number, item = came
        with self._changed:
            self._sides[number].items.appendleft(item)
            self._changed.notify_all()

    def poll(self, number, timeout):
        """Return whether `get` would return, or raise, at once, or after at most so many seconds."""
        side, other = self._sides[number], self._sides[1 - number]
        with self._changed:
            return bool(self._changed.wait_for(lambda: side.items or not other.count, timeout))


class PipeProxy(BaseProxy):
    """An end of a pipe, with the methods of a connection."""

    _exposed_ = ("acquire", "get", "poll", "put", "release")
    _side = 0
    _is_duplex = True
    _end: "Any" = None

    def open(self, side: int, is_duplex: bool, ticket: "str | None" = None) -> "PipeProxy":
        """Be an end of a side from now on; return itself."""
        self._side, self._is_duplex = side, is_duplex
        self._take(ticket)
        util.register_after_fork(self, PipeProxy._inherit)
        return self

    def _take(self, ticket=None):
        self._callmethod("acquire", (self._side, ticket))
        self._end = util.Finalize(
            self, _let_go, args=(self._links, self._authkey, self._id, (self._side,), os.getpid()), exitpriority=11
        )

    def _inherit(self):
        if self._end is not None:
            try:
                self._take()
            except Exception as error:  # the server is gone; whoever uses the pipe will hear about it
                util.info("pipe: an inherited end is lost: %r", error)

    @property
    def closed(self) -> bool:
        """Whether this end is closed."""
        return self._end is None

    @property
    def readable(self) -> bool:
        """Whether one may receive here."""
        return self._is_duplex or self._side == 0

    @property
    def writable(self) -> bool:
        """Whether one may send here."""
        return self._is_duplex or self._side == 1

    def send(self, obj: "Any") -> None:
        """Send an object; waits while too many are there that nobody receives."""
        self._check(self.writable, "read-only")
        self._callmethod("put", (self._side, (False, seal_item(obj))))

    def recv(self) -> "Any":
        """Return the next object; waits for one. EOFError when the other side is closed."""
        is_bytes, came = self._next()
        if is_bytes:
            return pickle.loads(came)
        return came.open() if type(came) is Sealed else came

    def send_bytes(self, buf: "Any", offset: int = 0, size: "int | None" = None) -> None:
        """Send bytes, or a part of them, as one message."""
        self._check(self.writable, "read-only")
        view = memoryview(buf).cast("B")
        end = len(view) if size is None else offset + size
        if not 0 <= offset <= end <= len(view):
            raise ValueError(f"bytes {offset} to {end} of {len(view)} cannot be sent")
        self._callmethod("put", (self._side, (True, bytes(view[offset:end]))))

    def recv_bytes(self, maxlength: "int | None" = None) -> bytes:
        """Return the next message.

        Raises:
            OSError: it is longer than `maxlength`.
            EOFError: the other side is closed.
        """
        if maxlength is not None and maxlength < 0:
            raise ValueError(f"maxlength must be 0 or more, not {maxlength}")
        is_bytes, came = self._next()
        data = came if is_bytes else came.data if type(came) is Sealed else pickle.dumps(came)
        if maxlength is not None and len(data) > maxlength:
            self.close()
            raise OSError(f"a message of {len(data)} bytes is longer than {maxlength}")
        return data

    def recv_bytes_into(self, buf: "Any", offset: int = 0) -> int:
        """Write the next message into a buffer, return its length; BufferTooShort when there is no room for it."""
        data = self.recv_bytes()
        view = memoryview(buf).cast("B")
        if offset < 0 or offset + len(data) > len(view):
            from procession._exceptions import BufferTooShort

            raise BufferTooShort(data)
        view[offset : offset + len(data)] = data
        return len(data)

    def poll(self, timeout: "float | None" = 0.0) -> bool:
        """Return whether there is something to receive, after at most `timeout` seconds; None waits for it."""
        self._check(self.readable, "write-only")
        return self._callmethod("poll", (self._side, None if timeout is None else max(0.0, timeout)))

    def close(self) -> None:
        """Let go of this end."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def fileno(self) -> int:
        """Raise NotImplementedError: there is no descriptor."""
        raise NotImplementedError("a pipe of a cluster has no descriptor: use poll(timeout) or connection.wait")

    def _wait_with(self, objects, timeout):
        """Do what `connection.wait` does for a list with ends of pipes of a cluster: no descriptor tells of these."""
        until = None if timeout is None else monotonic() + timeout
        far = [obj for obj in objects if isinstance(obj, PipeProxy)]
        near = [obj for obj in objects if not isinstance(obj, PipeProxy)]
        pause = _LEAST_PAUSE_S
        while True:
            ready = [obj for obj in far if obj.poll()]
            left = pause if until is None else min(pause, max(0.0, until - monotonic()))
            rest = 0.0 if ready else left
            if near:
                ready += wait(near, rest)
            elif rest and far[0].poll(rest):
                ready.append(far[0])
            if ready or left == 0.0:
                return [obj for obj in objects if any(obj is one for one in ready)]
            pause = min(2 * pause, _MOST_PAUSE_S)

    def _next(self):
        self._check(self.readable, "write-only")
        return self._callmethod("get", (self._side,))[1]

    def _check(self, allowed, what):
        if self._end is None:
            raise OSError("handle is closed")
        if not allowed:
            raise OSError(f"connection is {what}")

    def __enter__(self) -> "PipeProxy":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __reduce__(self):
        if self._end is None:
            raise OSError("handle is closed")
        ticket = os.urandom(8).hex()
        self._callmethod("acquire", (self._side, ticket, True))
        recalls = getattr(process.get_spawning_popen(), "recalls", None)
        if recalls is not None:  # of a process that may end before it has it
            recalls.append(partial(_let_go, self._links, self._authkey, self._id, (self._side, ticket), os.getpid()))
        return _arrived, (*super().__reduce__(), self._side, self._is_duplex, ticket)


def _arrived(rebuild, arguments, side, is_duplex, ticket):
    return rebuild(*arguments).open(side, is_duplex, ticket)


def _let_go(links, authkey, ident, what, owner):
    if owner == os.getpid():
        try:
            links.request(authkey, ident, "release", what)
        except Exception as error:
            util.debug("pipe: could not let go of an end: %r", error)
