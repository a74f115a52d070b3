"""What the methods of a pool answer: one result, or the result of a map (lazy ones: `iterators.py`).

Nothing here knows who computes.  A pool makes one of these objects, hands it out, and settles it from
whichever thread learns the outcome; the user waits or awaits.
"""

import os
import threading
import types

from procession import _exceptions

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


RUN, CLOSE, TERMINATE = "RUN", "CLOSE", "TERMINATE"


class Wakeable:
    """An object that asyncio code can wait for without a thread: watchers are called when it changes."""

    def __init__(self):
        self._watchers = []
        self._pid = os.getpid()

    def _check_here(self):
        """Raise RuntimeError in a copy of the process: whoever settles this is not in it."""
        if self._pid != os.getpid():
            raise RuntimeError(f"this result belongs to process {self._pid}: its outcome does not come here")

    def _watch(self):
        """Return a future of the running loop that is done at the next `_wake_watchers`; RuntimeError as of
        `_check_here`."""
        import asyncio

        self._check_here()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._watchers.append((loop, future))
        return future

    def _wake_watchers(self):
        while self._watchers:
            try:
                loop, future = self._watchers.pop()
            except IndexError:  # another thread took the last one
                return
            try:
                loop.call_soon_threadsafe(_finish_future, future)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                pass


def _finish_future(future):
    if not future.done():
        future.set_result(None)


class AsyncResult(Wakeable):
    """The result of one `apply_async`, settled once.  It can also be awaited.

    `callback` and `error_callback` run before the result counts as ready, in the thread that settles it,
    one at a time when the pool gives a common `turn` (a lock).
    """

    def __init__(self, callback=None, error_callback=None, turn=None):
        super().__init__()
        self._callback = callback
        self._error_callback = error_callback
        self._turn = turn
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._settled = False
        self._success = False
        self._value: Any = None

    def ready(self):
        """Return whether the call has an outcome.  Never blocks."""
        return self._event.is_set()

    def successful(self):
        """Return whether the call ended without an exception; ValueError while there is no outcome yet."""
        if not self.ready():
            raise ValueError(f"{self!r} has no outcome yet: wait() for it first")
        return self._success

    def cancel(self):
        """Give the call up: it does not start any more; where it runs, it runs on, and what becomes of it is dropped.

        `get` raises `concurrent.futures.CancelledError`.  Returns whether there was no outcome yet.
        """
        from concurrent.futures import CancelledError

        return self._settle(False, CancelledError("the task was cancelled"))

    def wait(self, timeout=None):
        """Block until there is an outcome or `timeout` seconds have passed."""
        if not self.ready():
            self._check_here()
        self._event.wait(timeout)

    def get(self, timeout=None):
        """Return the value, or raise what the call raised.

        Blocks until there is an outcome; raises `procession.TimeoutError` after `timeout` seconds without.
        """
        if not self.ready():
            self._check_here()
        if not self._event.wait(timeout):
            raise _exceptions.TimeoutError(f"no result after {timeout} seconds")
        if self._success:
            return self._value
        raise self._value

    def __await__(self):
        while not self.ready():
            self._check_here()
            future = self._watch()
            if self.ready():  # settled before the watcher was in the list: nobody would wake it
                break
            try:
                yield from future
            except BaseException:
                self.cancel()
                raise
        return self.get()

    def _settle(self, success, value, tell=True):
        """Give the result its outcome; False when it had one already.  `tell` runs the user's callback."""
        with self._lock:
            if self._settled:
                return False
            self._settled = True
            self._success, self._value = success, value
        callback = self._callback if success else self._error_callback
        self._callback = self._error_callback = None
        if tell and callback is not None:
            self._call(callback, value)
        self._event.set()
        self._wake_watchers()
        return True

    def _call(self, callback, value):
        # A callback that raises must neither lose the result nor end the thread that settles results.
        try:
            if self._turn is None:
                callback(value)
            else:
                with self._turn:
                    callback(value)
        except BaseException as error:
            report = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(report))

    __class_getitem__ = classmethod(types.GenericAlias)


ApplyResult = AsyncResult


class MapResult(AsyncResult):
    """The result of a map: a list in the order of the input, ready when every chunk has come back.

    One failed chunk makes the whole map fail, with the failure of the first item that failed, but only once the others
    are through: after `get` no task of the map is running any more.
    """

    def __init__(self, length, chunks, callback=None, error_callback=None, turn=None):
        super().__init__(callback, error_callback, turn)
        self._values: Any = [None] * length
        self._chunks_left = chunks
        self._first_error = None
        self._failed_at = length
        self._running = {}  # the chunks in work, by their first item
        if chunks == 0:
            self._settle(True, self._values)

    def cancel(self):
        """Give the map up: what has not started does not start any more; calls that run, run on, unheard.

        `get` raises `concurrent.futures.CancelledError`.  Returns whether there was no outcome yet.
        """
        cancelled = super().cancel()
        if cancelled:
            for chunk in list(self._running.values()):
                chunk.clear()
        return cancelled

    def _chunk_done(self, start, values):
        """Take the values of the chunk that begins at item `start`; True when the map is complete."""
        self._values[start : start + len(values)] = values
        return self._count_down()

    def _chunk_failed(self, start, error):
        """Take the failure of the chunk that begins at item `start`; True when the map is complete."""
        with self._lock:
            if start < self._failed_at:
                self._first_error, self._failed_at = error, start
        return self._count_down()

    def _count_down(self):
        with self._lock:
            self._chunks_left -= 1
            if self._chunks_left:
                return False
        if self._first_error is None:
            self._settle(True, self._values)
        else:
            self._settle(False, self._first_error)
            self._values = None
        return True
