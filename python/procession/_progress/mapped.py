"""The maps of an executor, drawn while somebody reads their results."""

import threading
from concurrent.futures import TimeoutError as NotYet
from itertools import islice
from operator import length_hint
from time import monotonic

from procession._progress import wishes
from procession._progress.facts import Counts
from procession._progress.watched import Watch, task

__all__ = ["Mapped", "of"]

# So many calls are looked at for tasks that run.
MOST_CALLS = 1024


def of(wish, function, iterables, workers):
    """Return what draws a map of an executor, or None.

    Raises:
        TypeError, ValueError, ImportError: the wish makes no sense.
    """
    drawer = wishes.drawer(wishes.check(wish))
    if drawer is None:
        return None
    lengths = [length for items in iterables if (length := length_hint(items, -1)) >= 0]
    return Mapped(Watch(drawer, function, workers), min(lengths, default=None))


class Mapped:
    """Counts the items of a map whose chunks are calls of an executor.

    Args:
        watch: draws them.
        total: how many there are, None where that is not known.
    """

    def __init__(self, watch, total):
        self._watch = watch
        self._total = total
        self._done = self._failed = 0
        self._lock = threading.Lock()
        self._calls = {}  # those without an outcome, and the first item and size of each
        self._known = 0
        watch.begin(self._counts)

    def add(self, future, size):
        """Take the call of one more chunk."""
        with self._lock:
            self._calls[future] = self._known, size
            self._known += size
        future.add_done_callback(self._count)

    def _count(self, future):
        with self._lock:
            _, size = self._calls.pop(future)
            self._done += size
            if future.cancelled() or future.exception() is not None:
                self._failed += size

    def complete(self):
        """All items are known."""
        self._total = self._known

    def _counts(self):
        with self._lock:
            calls = list(islice(self._calls.items(), MOST_CALLS))  # those that run are among the first
            done, failed = self._done, self._failed
        tasks = []
        for future, (first, _) in calls:
            result = future._result_of_pool
            if result is not None:
                tasks += [task(self._watch.name, first, one) for one in result._core.progress()[4]]
        return Counts(self._total, done, failed, 0, tasks)

    def result(self, future, limit):
        """Return the result of a call, as `Future.result` does, and draw meanwhile."""
        watch = self._watch
        until = None if limit is None else monotonic() + limit
        while not future.done():
            pause = watch.pause()
            left = pause if until is None else max(min(pause, until - monotonic()), 0.0)
            try:
                return future.result(left)
            except NotYet:
                if future.done():  # it is its own
                    break
                watch.tick()
                if until is not None and monotonic() >= until:
                    raise
        watch.tick()
        return future.result(0)

    def end(self):
        """Nobody reads any more."""
        self._watch.end()
