"""What the lazy methods of a pool answer: iterators over outcomes that come in chunk by chunk.

As in `results.py`, a pool makes one, hands it out, and delivers into it from any thread.
"""

import threading
from collections import deque
from time import monotonic

from procession import context
from procession.results import Wakeable


class Failure:
    """Stands in a list of outcomes for an item whose call raised `error`."""

    __slots__ = ("error",)

    def __init__(self, error):
        self.error = error


class IMapIterator(Wakeable):
    """Results of a lazy map in the order of the input; usable with `for` and with `async for`.

    An item that failed raises at its place, and the iteration can go on behind it.
    """

    def __init__(self, taken=None):
        super().__init__()
        self._arrival = threading.Condition(threading.Lock())
        self._outcomes = deque()
        self._early = {}
        self._delivered = 0
        self._length = None
        self._taken = taken

    def __iter__(self):
        return self

    def next(self, timeout=None):
        """Return the next result or raise what its call raised; StopIteration at the end.

        Blocks until it is there; raises `procession.TimeoutError` after `timeout` seconds without.
        """
        try:
            outcome = self._outcomes.popleft()
        except IndexError:
            outcome = self._next_slow(timeout)
        if self._taken is not None:
            self._taken()
        if type(outcome) is Failure:
            raise outcome.error
        return outcome

    __next__ = next

    def _next_slow(self, timeout):
        if not self._at_end():
            self._check_here()
        limit = None if timeout is None else monotonic() + timeout
        with self._arrival:
            while True:
                try:
                    return self._outcomes.popleft()
                except IndexError:  # nothing there, or another reader was faster
                    pass
                if self._at_end():
                    raise StopIteration
                left = None if limit is None else limit - monotonic()
                if left is not None and left <= 0:
                    raise context.TimeoutError(f"no result after {timeout} seconds")
                self._arrival.wait(left)

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self._outcomes and not self._at_end():
            self._check_here()
            future = self._watch()
            if self._outcomes or self._at_end():  # it came before the watcher was in the list
                break
            await future
        try:
            return self.next(0)
        except StopIteration:
            raise StopAsyncIteration from None

    def _at_end(self):
        return self._delivered == self._length

    def _deliver(self, index, outcomes):
        """Take the list of outcomes of chunk `index`; True when this was the last one."""
        with self._arrival:
            if self._length is not None and self._delivered >= self._length:
                return False
            self._place(index, outcomes)
            self._arrival.notify_all()
            last = self._at_end()
        self._wake_watchers()
        return last

    def _place(self, index, outcomes):
        self._early[index] = outcomes
        while (ready := self._early.pop(self._delivered, None)) is not None:
            self._outcomes.extend(ready)
            self._delivered += 1

    def _set_length(self, chunks):
        """Learn how many chunks there are in all; True when all of them were there already."""
        with self._arrival:
            self._length = chunks
            self._arrival.notify_all()
            last = self._at_end()
        self._wake_watchers()
        return last

    def _settle(self, success, error, tell=False):
        """End the iteration with `error` behind what has arrived in order."""
        with self._arrival:
            if not self._at_end():
                self._outcomes.append(Failure(error))
                self._early.clear()
                self._length = self._delivered
            self._arrival.notify_all()
        self._wake_watchers()
        return True


class IMapUnorderedIterator(IMapIterator):
    """Results of a lazy map in the order in which they come in."""

    def _place(self, index, outcomes):
        self._outcomes.extend(outcomes)
        self._delivered += 1
