"""The maps of an executor, drawn while somebody reads their results."""

import threading
from concurrent.futures import TimeoutError as NotYet
from itertools import islice
from operator import length_hint
from time import monotonic

from procession._pool.current import current_task, go_on, items_of
from procession._progress import wishes
from procession._progress.facts import Counts
from procession._progress.watched import Watch, task

__all__ = ["Mapped", "counted", "of"]

# The most calls that are looked at for tasks that run.
MOST_CALLS = 1024
# Items are looked at one by one where they take longer.
SHORT_S = 0.001


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


def counted(fn, chunk):
    """Call a function for each item of a chunk, in a task that says how many have run; return the list of results."""
    task, results, stride, before, size = current_task(), [], 1, monotonic(), len(chunk)
    try:
        while (done := len(results)) < size:
            go_on(task, done, size)
            results += [fn(*items) for items in chunk[done : done + stride]]
            now = monotonic()
            stride = 1 if now - before > SHORT_S else 8 * stride
            before = now
    finally:
        go_on(task, size, size)
    return results


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
        self._calls = {}  # those without an outcome; the first item of each, its size, how many items have run
        self._known = 0
        watch.begin(self._counts)

    def add(self, future, size):
        """Take the call of one more chunk."""
        with self._lock:
            self._calls[future] = [self._known, size, 0]
            self._known += size
        future.add_done_callback(self._count)

    def _count(self, future):
        with self._lock:
            _, size, _ = self._calls.pop(future)
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
        for future, call in calls:
            result = future._result_of_pool
            if result is not None:
                tasks += [self._task(call, one) for one in result._core.progress()[4]]
                done += call[2]
        # A call that has ended since then is counted as it was.
        return Counts(self._total, done, failed, 0, tasks)

    def _task(self, call, state):
        """Return the `TaskProgress` of an item of a call that runs, and take note of how many have run before it."""
        first, size, done = call
        *known, said = state
        items, said = items_of(said, size)
        call[2] = min(max(done, items), size)
        return task(self._watch.name, min(first + call[2], first + size - 1), (*known, said))

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
