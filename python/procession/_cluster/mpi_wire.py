"""Carries messages between the ranks of an MPI job, in one thread, which alone calls MPI.

MPI has no way to sleep until something comes, and its own waits keep a CPU busy that workers want: the thread looks,
and sleeps between looks for longer the longer nothing comes. What is to be sent wakes it at once.
"""

import _pickle as pickle  # without what `pickle` loads
import queue
from time import monotonic, sleep

from mpi4py import MPI

from procession._cluster.events import Events
from procession._cluster.packing import Message

__all__ = ["Wire"]

_HEAD, _PART = 1, 2  # tags; the parts of a message follow its head in order, as MPI promises
_WITH_HEAD = 1 << 16  # bytes of a message that need no part of their own
_PIECE = 1 << 28  # bytes at once: not all libraries count further than 2 GiB
# Seconds between two looks: while something comes again and again, after a while without, after a longer while, and
# where nothing is awaited.
_SOON_S, _LATER_S, _IDLE_S, _ASLEEP_S = 5e-5, 1e-3, 5e-3, 0.5
_QUIET_S = 1.0
_GROWTH = 1.3


class Wire:
    """What one rank sends and gets.

    Args:
        comm: the communicator, which nobody else uses.
        heed: is called with the rank of a sender, its head and its message, or None, in the wire's thread.
        lose: is called with a rank that MPI says is lost, and the error.
        awaits: returns whether anything may come.
    """

    def __init__(self, comm, heed, lose, awaits):
        self._comm = comm
        self._heed = heed
        self._lose = lose
        self._awaits = awaits
        self._outgoing = Events()
        self._moving: list = []  # what is on its way, either way

    def send(self, rank, head, message=None, sent=None):
        """Have a head, a picklable object, and a message sent to a rank; `sent()` is called once it is."""
        self._outgoing.put((rank, head, message, sent))

    def wake(self):
        """Have `run` look whether it is over."""
        self._outgoing.put(None)

    def run(self, is_over):
        """Carry what there is to carry until `is_over()`, and all that is to be sent is."""
        pause, moved_at = _SOON_S, monotonic()
        while True:
            if self._look():
                pause, moved_at = _SOON_S, monotonic()
                continue
            if self._moving:
                sleep(0)  # large parts go on while somebody looks
                continue
            if is_over() and self._outgoing.empty():
                return
            pause = min(pause * _GROWTH, _LATER_S if monotonic() - moved_at < _QUIET_S else _IDLE_S)
            try:
                going = self._outgoing.get(timeout=pause if self._awaits() else _ASLEEP_S)
            except queue.Empty:
                continue
            pause = _SOON_S
            if going is not None:
                self._begin(*going)

    def _look(self):
        """Go on with everything; return whether anything has happened."""
        happened = False
        while not self._outgoing.empty():
            going = self._outgoing.get()
            happened = True
            if going is not None:
                self._begin(*going)
        status = MPI.Status()
        while self._comm.Iprobe(MPI.ANY_SOURCE, _HEAD, status):
            happened = True
            self._take(status)
        still = []
        for moving in self._moving:
            try:
                is_there = MPI.Request.Testall(moving.requests)
            except MPI.Exception as error:
                self._lose(moving.rank, error)
                continue
            if is_there:
                happened = True
                moving.done()
            else:
                still.append(moving)
        self._moving = still
        return happened

    def _begin(self, rank, head, message, sent):
        packed, parts = _packed(head, message)
        moving = _Moving(rank, sent or _nothing)
        try:
            moving.add(self._comm.Isend, packed, _HEAD)
            for part in parts:
                moving.add(self._comm.Isend, part, _PART)
        except MPI.Exception as error:
            self._lose(rank, error)
            return
        self._moving.append(moving)

    def _take(self, status):
        rank, packed = status.Get_source(), bytearray(status.Get_count(MPI.BYTE))
        try:
            self._comm.Recv([packed, MPI.BYTE], rank, _HEAD)
            head, data, sizes, is_apart = pickle.loads(packed)
            parts = [bytearray(size) for size in sizes]
            moving = _Moving(rank, lambda: self._heed(rank, head, _unpacked(data, parts, is_apart)))
            for part in parts:
                moving.add(self._comm.Irecv, memoryview(part), _PART)
        except MPI.Exception as error:
            self._lose(rank, error)
            return
        self._moving.append(moving)


class _Moving:
    """A message on its way: `done()` is to be called once `requests` are through, whose buffers stay until then."""

    def __init__(self, rank, done):
        self.rank = rank
        self.done = done
        self.requests: list = []
        self._buffers: list = []

    def add(self, move, buffer, tag):
        """Begin to send or receive a buffer."""
        self._buffers.append(buffer)
        for start in range(0, len(buffer), _PIECE):
            self.requests.append(move([buffer[start : start + _PIECE], MPI.BYTE], self.rank, tag))


def _packed(head, message):
    """Return the bytes of a head, and what follows it."""
    if message is None:
        return pickle.dumps((head, None, (), False)), []
    parts = [memoryview(part).cast("B") for part in message.parts]
    data, is_apart = message.data, len(message.data) > _WITH_HEAD
    if is_apart:
        parts.insert(0, memoryview(data))
        data = None
    return pickle.dumps((head, data if is_apart else bytes(data), [part.nbytes for part in parts], is_apart)), parts


def _unpacked(data, parts, is_apart):
    if is_apart:
        data, parts = parts[0], parts[1:]
    return None if data is None else Message(data, parts)


def _nothing():
    """Nobody is to be told."""
