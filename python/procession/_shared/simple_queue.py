"""The queue with the fewest methods, and the ends of it that programs wait for."""

import os
from queue import Empty

from procession import _procession as engine, process, reduction
from procession._shared import queue_ends
from procession.synchronize import SEM_VALUE_MAX

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any, Generic, TypeVar

    from typing_extensions import Buffer

    from procession.context import BaseContext

    _T = TypeVar("_T")
else:
    from procession._standard import Generic

    _T = None

__all__ = ["SimpleQueue"]

# How long a message may lie without having been announced: whoever put it was killed at that very moment.
UNANNOUNCED_S = 1.0


class SimpleQueue(Generic[_T]):
    """A queue of objects in shared memory.

    What is put is pickled at once; `put` never waits. A process that is killed while it puts or gets leaves the queue
    in order: its message is whole or not there.

    Args:
        ctx: the context it is for.
    """

    def __init__(self, *, ctx: "BaseContext | None" = None) -> None:
        bell = engine.make_bell(True)
        self._open(engine.Queue(SEM_VALUE_MAX), bell)

    def _open(self, messages, bell):
        self._reader, self._writer = Reader(messages, bell), Writer(messages, engine.duplicate_above(bell, 0))

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is something to get.

        Raises:
            OSError: the queue is closed.
        """
        return self._reader.fileno()

    def close(self) -> None:
        """Put and get no more from this process."""
        self._reader.close()
        self._writer.close()

    def empty(self) -> bool:
        """Return whether there is nothing to get."""
        return not self._reader.poll()

    def get(self) -> "_T":
        """Take the oldest object out, waiting for one.

        Raises:
            OSError: the queue is closed.
        """
        return self._reader.recv()

    def put(self, obj: "_T") -> None:
        """Put an object.

        Raises:
            OSError: the queue is closed.
            PicklingError, TypeError, AttributeError: the object cannot be pickled.
        """
        self._writer.send(obj)

    def __getstate__(self):
        process.assert_spawning(self)
        messages, bell = self._reader._messages, self._reader._bell
        return reduction.DupFd(messages._share()), reduction.DupFd(bell)

    def __setstate__(self, state):
        messages, bell = state
        self._open(engine.Queue(0, messages.detach()), bell.detach())


class _End:
    """One end of a queue: its messages, and a counter that the system keeps of those that were announced."""

    def __init__(self, messages, bell):
        self._messages = messages
        self._bell = bell

    @property
    def closed(self) -> bool:
        """Whether this end is closed in this process."""
        return self._bell < 0

    def fileno(self) -> int:
        """Return a descriptor that is readable while there is something to get."""
        if self._bell < 0:
            raise OSError("handle is closed")
        return self._bell

    def close(self, _close=os.close):  # bound early: at the interpreter's end `os` is gone before this
        """Close this end in this process; closing twice does nothing."""
        bell, self._bell = self._bell, -1
        if bell >= 0:
            _close(bell)

    def __del__(self):
        self.close()


class Reader(_End):
    """The end that is read, with the methods of a connection that say so."""

    readable, writable = True, False

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Return whether there is something to get, waiting `timeout` seconds for it; None is no limit."""
        return bool(engine.wait_readable([self.fileno()], timeout))

    def recv(self) -> "Any":
        """Take the oldest object out, waiting for one."""
        while True:
            announced = self.poll(UNANNOUNCED_S)
            if announced and not self._take_announcement():
                continue  # another reader was faster
            try:
                return self._messages.get(False)
            except Empty:
                pass

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Take the oldest object out, waiting for one, and return its pickle.

        Raises:
            OSError: that is longer than `maxlength`; the object is lost.
        """
        return queue_ends.pickle_within(self.recv(), maxlength)

    def _take_announcement(self):
        try:
            os.read(self._bell, 8)
        except BlockingIOError:
            return False
        return True


class Writer(_End):
    """The end that is written, with the methods of a connection that say so."""

    readable, writable = False, True

    def send(self, obj: object) -> None:
        """Put an object."""
        bell = self.fileno()
        self._messages.put(obj)
        os.write(bell, engine.ONE_RING)

    def send_bytes(self, buf: "Buffer", offset: int = 0, size: int | None = None) -> None:
        """Put the object of which these bytes are a pickle."""
        import pickle

        with memoryview(buf) as whole, whole.cast("B") as all_bytes:
            end = None if size is None else offset + size
            self.send(pickle.loads(all_bytes[offset:end]))
