"""What a thread is told of, one after the other."""

import queue
from _thread import allocate_lock
from collections import deque
from time import monotonic

__all__ = ["Events"]


class Events:
    """As `queue.SimpleQueue`, for one reader: whoever puts, a finalizer in the middle of that too, waits for nothing.

    That one has a lock which is left open where an object is taken without a wait. A later `get` with a timeout finds
    it open, and nothing there; when the time is over by then, it waits for ever (CPython up to 3.13 at least).
    """

    def __init__(self):
        self._waiting: deque = deque()
        self._bell = allocate_lock()
        self._bell.acquire()

    def put(self, event):
        """Have the reader get this."""
        self._waiting.append(event)
        try:
            self._bell.release()
        except RuntimeError:  # it has been rung
            pass

    def get(self, timeout=None):
        """Return the next one, after at most `timeout` seconds (None: no limit).

        Raises:
            queue.Empty: there was none.
        """
        until = None if timeout is None else monotonic() + timeout
        while not self._waiting:
            left = -1 if until is None else until - monotonic()
            if until is not None and left <= 0:
                raise queue.Empty
            self._bell.acquire(timeout=left)
        return self._waiting.popleft()

    def qsize(self):
        """Return how many there are."""
        return len(self._waiting)

    def empty(self):
        """Return whether there is none."""
        return not self._waiting
