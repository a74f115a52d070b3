"""What the lazy methods of a pool of threads answer: iterators over outcomes that come in chunk by chunk.

The outcomes are an object of their own, which the pool delivers into from any thread. So the pool does not keep the
iterator, and learns when nobody has it any more.
"""

import threading
from collections import deque
from time import monotonic

from procession import _exceptions
from procession._pool.thread_results import Wakeable


class Failure:
    """Stands in a list of outcomes for an item whose call raised `error`."""

    __slots__ = ("error",)

    def __init__(self, error):
        self.error = error


class Outcomes(Wakeable):
    """The outcomes of a lazy map, in the order of the input.

    Args:
        taken: is called when one was read; None for nothing.
    """

    def __init__(self, taken=None):
        super().__init__()
        self.arrival = threading.Condition(threading.Lock())
        self.ready = deque()
        self.taken = taken
        self.unread = False  # whether nobody can read them any more
        self._early = {}
        self._delivered = 0
        self._length = None

    def at_end(self):
        """Return whether all have come in."""
        return self._delivered == self._length

    def deliver(self, index, outcomes):
        """Take the list of outcomes of chunk `index`; True when this was the last one."""
        with self.arrival:
            if self._length is not None and self._delivered >= self._length:
                return False
            if self.unread:
                outcomes = []
            self._place(index, outcomes)
            self.arrival.notify_all()
            last = self.at_end()
        self._wake_watchers()
        return last

    def _place(self, index, outcomes):
        self._early[index] = outcomes
        while (ready := self._early.pop(self._delivered, None)) is not None:
            self.ready.extend(ready)
            self._delivered += 1

    def set_length(self, chunks):
        """Learn how many chunks there are in all; True when all of them were there already."""
        with self.arrival:
            self._length = chunks
            self.arrival.notify_all()
            last = self.at_end()
        self._wake_watchers()
        return last

    def end(self):
        """Have no more outcomes, whatever is read or delivered."""
        with self.arrival:
            self._early.clear()
            self.ready.clear()
            self._length = self._delivered
            self.arrival.notify_all()
        self._wake_watchers()

    def _settle(self, success, error, tell=False):
        """End with `error` behind what has arrived in order."""
        with self.arrival:
            if not self.at_end():
                self.ready.append(Failure(error))
                self._early.clear()
                self._length = self._delivered
            self.arrival.notify_all()
        self._wake_watchers()
        return True


class UnorderedOutcomes(Outcomes):
    """The outcomes of a lazy map in the order in which they come in."""

    def _place(self, index, outcomes):
        self.ready.extend(outcomes)
        self._delivered += 1


class IMapIterator:
    """Results of a lazy map in the order of the input; usable with `for` and with `async for`.

    An item that failed raises at its place, and the iteration can go on behind it. When the iterator is forgotten after
    somebody has read it, the map ends as by `close`, but that a generator of the items is left to whoever else has it;
    one that nobody has read goes on to its last item.

    Args:
        outcomes: an `Outcomes`.
        source: what has `give_up(closes)` and `let_go(asked)`.
    """

    outcomes_type = Outcomes

    def __init__(self, outcomes, source):
        self._outcomes = outcomes
        self._ready = outcomes.ready
        self._taken = outcomes.taken
        self._source = source
        self._asked = False

    def __iter__(self):
        return self

    def next(self, timeout=None):
        """Return the next result or raise what its call raised; StopIteration at the end.

        Blocks until it is there; raises `procession.TimeoutError` after `timeout` seconds without.
        """
        self._asked = True
        try:
            outcome = self._ready.popleft()
        except IndexError:
            outcome = self._next_slow(timeout)
        if self._taken is not None:
            self._taken()
        if type(outcome) is Failure:
            raise outcome.error
        return outcome

    __next__ = next

    def _next_slow(self, timeout):
        outcomes = self._outcomes
        if not outcomes.at_end():
            outcomes._check_here()
        limit = None if timeout is None else monotonic() + timeout
        with outcomes.arrival:
            while True:
                try:
                    return self._ready.popleft()
                except IndexError:  # nothing there, or another reader was faster
                    pass
                if outcomes.at_end():
                    raise StopIteration
                left = None if limit is None else limit - monotonic()
                if left is not None and left <= 0:
                    raise _exceptions.TimeoutError(f"no result after {timeout} seconds")
                outcomes.arrival.wait(left)

    def __aiter__(self):
        return self

    async def __anext__(self):
        self._asked = True
        outcomes = self._outcomes
        while not self._ready and not outcomes.at_end():
            outcomes._check_here()
            future = outcomes._watch()
            if self._ready or outcomes.at_end():  # it came before the watcher was in the list
                break
            await future
        try:
            return self.next(0)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self):
        """End the map: no further items are taken, those that have not started do not start; a thread that is in one
        runs on to its end, unheard. No more results come.

        The items are closed, too, if they come from a generator: before this returns, unless another thread is in the
        generator, which then closes it. Does not wait.

        Raises:
            Exception: what the generator raised when it was closed.
        """
        self._source.give_up(True)

    def __del__(self):
        self._source.let_go(self._asked)


class IMapUnorderedIterator(IMapIterator):
    """Results of a lazy map in the order in which they come in."""

    outcomes_type = UnorderedOutcomes
