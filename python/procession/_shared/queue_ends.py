"""The ends of a queue that programs wait for, as if there were a pipe behind it."""

from procession import _procession as engine

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["QueueEnd", "Reader", "Writer", "SimpleReader", "SimpleWriter", "LACKING", "Lacking"]

# Parts of the standard library's queue that have no counterpart, and what takes their place.
LACKING = {
    "_rlock": "no process can be in the middle of a get, so nothing has to be kept from it",
    "_wlock": "no process can be in the middle of a put, so nothing has to be kept from it",
    "_sem": "qsize() and full() are exact",
    "_buffer": "what was put is in shared memory at once; qsize() counts it",
    "_notempty": "what was put is in shared memory at once; empty() is exact",
    "_thread": "no thread has to write what was put",
    "_send_bytes": "put() takes bytes, too",
    "_recv_bytes": "get() returns bytes that were put",
}


class Lacking:
    """An attribute that a queue does not have: who asks for it is told what takes its place.

    A `__getattr__` of the class would make every look for a method slower.
    """

    def __init__(self, name):
        self._name = name

    def __get__(self, queue, owner=None):
        kind = owner.__name__ if queue is None else type(queue).__name__
        raise AttributeError(
            f"{kind!r} object has no attribute {self._name!r}: {LACKING[self._name]}", name=self._name, obj=queue
        )


class QueueEnd:
    """The attribute of a queue's class that gives an end of each queue; a program may put another in its place."""

    def __init__(self, end):
        self._end = end

    def __get__(self, queue, owner=None):
        return self if queue is None else self._end(queue)


class _End:
    """One end of a queue. It refers to the queue, never the other way round: a queue ends with its last user."""

    # Whose methods are called: a program's own class may call its ends in its `put` and `get`.
    _engine: "Any" = engine.Queue
    readable: bool

    def __init__(self, queue):
        self._queue = queue

    def __eq__(self, other):
        return type(other) is type(self) and other._queue is self._queue

    def __hash__(self):
        return hash((type(self), id(self._queue)))

    @property
    def closed(self):
        """Whether this end, or the queue, is closed in this process."""
        return self._queue._closed or type(self) in vars(self._queue).get("_closed_ends", ())

    def close(self):
        """Close this end in this process; the methods of the queue are not concerned."""
        vars(self._queue).setdefault("_closed_ends", set()).add(type(self))

    def fileno(self):
        """Return a descriptor that is readable while there is something to get, and always writable.

        Of a `Queue` the first call in a process makes it, and starts a thread that watches the queue.

        Raises:
            OSError: this end or the queue is closed.
        """
        self._check()
        return self._engine.fileno(self._queue)

    def _check(self):
        if self.closed:
            raise OSError("handle is closed")


class Reader(_End):
    """The end that is read, with the methods of a connection that say so."""

    readable, writable = True, False

    def poll(self, timeout=0.0):
        """Return whether there is something to get, waiting `timeout` seconds for it; None is no limit."""
        self._check()
        return self._engine._poll(self._queue, timeout)

    def recv(self):
        """Take the oldest object out, waiting for one."""
        self._check()
        return self._engine.get(self._queue)

    def recv_bytes(self, maxlength=None):
        """Take the oldest object out, waiting for one, and return its pickle.

        Raises:
            OSError: that is longer than `maxlength`; the object is lost.
        """
        pickle = engine.dumps(self.recv())
        if maxlength is not None and len(pickle) > maxlength:
            raise OSError("bad message length")
        return pickle


class Writer(_End):
    """The end that is written, with the methods of a connection that say so."""

    readable, writable = False, True

    def send(self, obj):
        """Put an object, waiting for room."""
        self._check()
        self._engine.put(self._queue, obj)

    def send_bytes(self, buf, offset=0, size=None):
        """Put the object of which these bytes are a pickle, waiting for room."""
        import pickle

        with memoryview(buf) as whole, whole.cast("B") as all_bytes:
            end = None if size is None else offset + size
            self.send(pickle.loads(all_bytes[offset:end]))


class _SimpleEnd(_End):
    """What is different of the ends of a `SimpleQueue`, whose methods are concerned by the end of its ends."""

    _engine = engine.SimpleQueue

    @property
    def closed(self):
        """Whether this end is closed in this process."""
        return self._queue._is_closed(self.readable)

    def close(self):
        """Close this end in this process: `get`, or `put`, is refused then."""
        self._queue._close_end(self.readable)


class SimpleReader(_SimpleEnd, Reader):
    """The end of a `SimpleQueue` that is read."""


class SimpleWriter(_SimpleEnd, Writer):
    """The end of a `SimpleQueue` that is written."""
