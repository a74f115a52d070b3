"""Connections between threads: two queues, and objects go through them as they are."""

import queue
from time import monotonic

from procession._exceptions import BufferTooShort

__all__ = ["Client", "Listener", "Pipe"]

families = [None]


class Connection:
    """One end of a pipe between threads.

    Threads share their ends, so `close` only leaves the end to the others: nobody gets EOFError by it.
    """

    def __init__(self, _in, _out):
        self._in = _in
        self._out = _out

    def send(self, obj):
        """Pass the object itself to the other end.  Never blocks."""
        self._out.put(obj)

    def recv(self):
        """Return the next object; blocks until there is one."""
        return self._in.get()

    def send_bytes(self, buf, offset=0, size=None):
        """Send a copy of a part of a bytes-like object; ValueError when it has no such part.

        A whole object of another type goes as it is: `recv_bytes` at a relay may have got it from `send`.
        """
        try:
            view = memoryview(buf).cast("B")
        except TypeError:
            if offset or size is not None:
                raise
            self._out.put(buf)
            return
        size = len(view) - offset if size is None else size
        if offset < 0 or size < 0 or offset + size > len(view):
            raise ValueError(f"no {size} bytes at {offset} in a buffer of {len(view)}")
        self._out.put(bytes(view[offset : offset + size]))

    def recv_bytes(self, maxlength=None):
        """Return the next message; OSError when it has more than `maxlength` bytes."""
        message = self._in.get()
        if maxlength is not None and len(message) > maxlength:
            raise OSError(f"a message of {len(message)} bytes, more than maxlength ({maxlength})")
        return message

    def recv_bytes_into(self, buf, offset=0):
        """Put the next message into `buf` and return its length, or raise BufferTooShort(message)."""
        message = self._in.get()
        view = memoryview(buf).cast("B")
        if offset < 0 or offset > len(view):
            raise ValueError(f"no offset {offset} in a buffer of {len(view)} bytes")
        if len(message) > len(view) - offset:
            raise BufferTooShort(message)
        view[offset : offset + len(message)] = message
        return len(message)

    def poll(self, timeout=0.0):
        """Return whether there is something to receive, waiting `timeout` seconds (None: until there is)."""
        limit = None if timeout is None else monotonic() + timeout
        with self._in.not_empty:
            while not self._in._qsize():
                left = None if limit is None else limit - monotonic()
                if left is not None and left <= 0:
                    return False
                self._in.not_empty.wait(left)
                if self._in._qsize():
                    # We only looked: pass the wake-up on to one who wants to take.
                    self._in.not_empty.notify()
            return True

    def close(self):
        """Do nothing, see the class."""

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


class Listener:
    """Waits for clients in the same process; its `address` is what `Client` takes."""

    def __init__(self, address=None, family=None, backlog=1, authkey=None):
        self._waiting = queue.Queue(backlog)

    def accept(self):
        """Return the connection to the next client; blocks until one comes, OSError after `close`."""
        if self._waiting is None:
            raise OSError("listener is closed")
        return Connection(*self._waiting.get())

    def close(self):
        """Take no more clients."""
        self._waiting = None

    @property
    def address(self):
        """Where clients connect to."""
        return self._waiting

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


def Client(address, family=None, authkey=None):
    """Connect to a listener of this process; blocks while `backlog` others wait to be accepted."""
    there, back = queue.Queue(), queue.Queue()
    address.put((there, back))
    return Connection(back, there)


def Pipe(duplex=True):
    """Return two connected ends; for `duplex=False` use the first to receive, the second to send."""
    there, back = queue.Queue(), queue.Queue()
    return Connection(there, back), Connection(back, there)
