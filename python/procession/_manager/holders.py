"""The clients of a server, and what they hold there, so that it goes to others when they end.

A client says once for each connection to which process and thread it belongs, before the first request that may take
something. A process that the server can see (of its machine and its pid namespace) has ended when the system says so,
whatever becomes of its connections. One elsewhere has when it has hung up the last of its connections, even if its
request is being carried out there; it keeps one for that.
"""

import contextlib
import itertools
import os
import socket
import struct
import threading

from procession import _procession as engine

# The pauses between looks whether a process has ended that has just closed a connection.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.001, 1.0

# A machine that vanishes is noticed after IDLE_S and so many looks, or when so long nobody has taken what was sent.
IDLE_S, LOOK_EVERY_S, LOOKS = 10, 5, 4
_LOOKS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, LOOK_EVERY_S),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, LOOKS),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, (IDLE_S + LOOKS * LOOK_EVERY_S) * 1000),
)

# Guards the notes of all clients and of all that they hold. Whoever has it waits for nothing.
notes = threading.RLock()
_attended = threading.local()  # of each thread: .client and .thread that it acts for, .connection, .told
_numbers = itertools.count(1)
_thread = threading.local()
_me = None


class ClientGone(OSError):
    """The process that asked for something has ended: nobody is there to have it."""


class Client:
    """A process that uses the server.

    `identity` is its engine identity if it can be seen from here, `peer` a function that finds that out when it is
    needed; `held` has what it holds, each with a number, and `waits` by their numbers the waits of its threads for a
    condition of which they have not heard yet that they are over.
    """

    __slots__ = ("connections", "ended", "held", "identity", "peer", "told_who", "waits")

    def __init__(self, identity=None, peer=None):
        self.identity, self.peer = identity, peer
        self.connections = set()
        self.ended = self.told_who = False
        self.held = {}
        self.waits = {}

    def hold(self, thing):
        """Note that it holds `thing`, once more; ClientGone when it has ended."""
        with notes:
            if self.ended:
                raise ClientGone("the process that asked has ended")
            if self.peer is not None:
                peer, self.peer = self.peer, None
                self.identity = peer()
            self.held[thing] = self.held.get(thing, 0) + 1

    def let_go(self, thing, count=1):
        """Note that it holds `thing` so many times less."""
        with notes:
            left = self.held.get(thing, 0) - count
            if left > 0:
                self.held[thing] = left
            else:
                self.held.pop(thing, None)

    def end(self):
        """Give what a client that has ended held to others."""
        with notes:
            self.ended = True
            held, self.held = self.held, {}
            for thing, count in held.items():
                thing.holder_ended(self, count)

    def look(self):
        """End it if its process has ended; say whether it has."""
        if not self.ended and self._is_gone():
            self.end()
        return self.ended

    def _is_gone(self):
        if self.identity is not None:
            return not engine.is_alive(self.identity)
        with notes:  # nobody closes one meanwhile
            return self.told_who and all(map(has_hung_up, self.connections))


# Acts for what the server's process does itself.
OURSELVES = Client()


class Clients:
    """The clients of a server, by what each of their processes calls itself."""

    def __init__(self):
        self._known = {}
        self._strangers = set()

    def of(self, connection):
        """Return a client for a connection that has not said whose it is; perhaps it never does."""
        client = Client(peer=lambda: _peer_of(connection))
        client.connections.add(connection)
        with notes:
            self._strangers.add(client)
        return client

    def introduce(self, stranger, token, place, identity):
        """Return the client that a connection says it belongs to; its `identity` is None when it is not to be seen."""
        with notes:
            self._strangers.discard(stranger)
            client = self._known.get(token)
            if client is None or client.ended:
                seen = int(identity, 16) if place == _place() else None
                client = self._known[token] = Client(seen)
                client.told_who = True
            client.connections |= stranger.connections
            return client

    def hang_up(self, client, connection):
        """A connection is about to be closed."""
        with notes:
            client.connections.discard(connection)

    def leave(self, client, stop_event):
        """A connection is gone: look whether its process is, for as long as that takes, if it holds something."""
        client.look()
        pause = SHORTEST_PAUSE_S
        while client.held and not client.look() and client.identity is not None and pause < LONGEST_PAUSE_S:
            stop_event.wait(pause)
            pause *= 2
        self._forget()

    def look(self):
        """End those whose process has ended while the threads that attend to them wait for something else."""
        with notes:
            holding = [client for client in (*self._known.values(), *self._strangers) if client.held]
        for client in holding:
            client.look()
        self._forget()

    def _forget(self):
        with notes:
            idle = [token for token, client in self._known.items() if not client.connections and not client.held]
            for token in idle:
                del self._known[token]
            self._strangers = {client for client in self._strangers if client.connections or client.held}


def me():
    """Return what this process calls itself to servers: a token, where it is, who it is there."""
    global _me
    if _me is None:
        _me = os.urandom(8).hex(), _place(), f"{engine.identity_of(os.getpid()):x}"
    return _me


def my_thread():
    """Return a number of the calling thread, which no other thread of this process ever has."""
    try:
        return _thread.number
    except AttributeError:
        _thread.number = next(_numbers)
        return _thread.number


def forked():
    """This process is another from here on."""
    global _me, notes
    _me = None
    notes = threading.RLock()


def serve(connection):
    """The calling thread serves a connection from here on."""
    _attended.connection = connection


def served():
    """Return the connection that the calling thread serves, or None."""
    return getattr(_attended, "connection", None)


def attend(client, thread):
    """The calling thread acts for a thread of a client from here on."""
    _attended.client, _attended.thread, _attended.told = client, thread, None


@contextlib.contextmanager
def ourselves():
    """For this block the calling thread acts for the server itself."""
    before = vars(_attended).copy()
    vars(_attended).clear()
    try:
        yield
    finally:
        vars(_attended).update(before)


def acting_for():
    """Return the client and the thread that the calling thread acts for."""
    try:
        return _attended.client, _attended.thread
    except AttributeError:
        return OURSELVES, threading.get_ident()


def hold_by_thread(thing):
    """Note that the calling thread has to give back `thing` itself."""
    vars(_attended).setdefault("things", set()).add(thing)


def held_by_thread():
    """Return what the calling thread has to give back itself."""
    return [thing for thing in vars(_attended).get("things", ()) if thing.is_held_here()]


def tell(robust):
    """Have the answer say that the owner before has died."""
    _attended.told = robust


def take_told():
    """Return what the answer is to say of an owner's death, once: None, or whether the lock is robust."""
    told, _attended.told = _attended.told, None
    return told


def watch(connection):
    """Have the system look whether the machine at the other end of an idle connection is still there, and end the
    connection when it is not; without, who vanishes with its network would be waited for without end."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        if end.family in (socket.AF_INET, socket.AF_INET6):
            for level, option, value in _LOOKS:
                end.setsockopt(level, option, value)


def has_hung_up(connection):
    """Return whether the other side of an open connection has closed it, or has ended, with all that it sent read."""
    # The kind of socket makes no difference here, but to ask for it would be three system calls.
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, connection.fileno())
    try:
        return not end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        end.detach()


def _place():
    """Where processes can see each other: this machine since it was started, and the pid namespace."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return os.urandom(8).hex()  # nowhere else


def _peer_of(connection):
    """Return who is at the other end of a local connection, or None."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as end:
            if end.family != socket.AF_UNIX:
                return None
            credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid = struct.unpack("3i", credentials)[0]
        return engine.identity_of(pid) if pid > 0 else None
    except OSError:
        return None
