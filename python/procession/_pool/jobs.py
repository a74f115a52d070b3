"""Jobs whose outcomes come from this process: what a crew answers that has no engine of its own for them.

Any thread may deliver outcomes; users wait, read or await through `results`. The methods are those of the engine's
jobs.

A long file: the two kinds of jobs, one read as a whole and one item by item, answer the same calls side by side.
"""

import itertools
import os
import threading
from collections import deque
from operator import length_hint
from time import monotonic

from procession._pool import spots
from procession._pool.current import as_informed

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["LOOK_AHEAD_ITEMS", "Failure", "Job", "Stream", "Supplier", "Whole"]

# How many items of an iterable without a length may be ahead of the results that were read.
LOOK_AHEAD_ITEMS = 1024
# How long a wait goes on at most after a signal: one that comes just before a lock is waited for ends no wait.
LOOK_AROUND_S = 0.2


class Failure:
    """Stands in a list of outcomes for an item whose call raised `error`."""

    __slots__ = ("error",)

    def __init__(self, error):
        self.error = error


class Supplier:
    """What computes a job, as the job knows it; a crew has one of its own where it wants to be told more."""

    def __init__(self, job):
        self.job = job

    def running(self):
        """Return what is computed just now: worker, item, and how many items before it have no outcome only as they go
        together with it."""
        return []

    def tasks(self):
        """Return what is computed just now, as a job of the engine tells of it, and how many items have an outcome
        beside those that were delivered."""
        tasks, more = [], 0
        for worker, place, computed in self.running():
            item, said = self.job.said.get(worker, (None, None))
            tasks.append((0, worker, place, 0.0, said if item == place else None))
            more += computed
        return tasks, more

    def pull(self):
        """A reader has come and finds nothing: compute an item in this thread, or return False."""
        return False

    def go_on(self):
        """There may be room for more items: outcomes were read, or nobody will read them."""

    def give_up(self, closes):
        """Nobody wants the rest. Of a lazy job `closes` says whether its generator is to be closed, too."""
        self.job.end(closes)

    def let_go(self, asked):
        """The iterator is gone; `asked`: somebody had read it. It goes in the midst of anything, wherever memory is
        collected: no lock may be taken here."""
        if asked:
            self.job.given_up = True
        else:
            self.job.unread = True


class _Nobody(Supplier):
    """What computes a job that has ended, or that nobody wants to be told more of: the two would keep each other."""

    def __init__(self):
        pass

    def give_up(self, closes):
        """There is nothing to give up."""

    def let_go(self, asked):
        """There is nothing to let go."""


_NOBODY = _Nobody()


class Job:
    """What one call of a method of `Pool` has created.

    Args:
        crew: is told by `done(job)` when no outcome is missing any more; has the lock `turn` for callbacks.
        order: "apply", "map", "starmap", "imap" or "imap_unordered".
        function: what is called.
        items: for `apply` a pair of positional and named arguments, alone in a list; for a map a sequence; else an
            iterator.
        chunk: how many items go together.
        wishes: what `_checks.wishes` gives.
        callbacks: a pair for value and exception, or None.

    Attributes:
        failed, retried: how many items have failed, how often one was tried again.
        tick: what a crew that computes in the caller calls after each outcome, or None.
        is_computed_by_its_caller: whether whoever hands it in, or reads it, computes it.
        said: what its tasks have said of themselves, by workers: the item, and done, total and text.
        number: which of the jobs of its pool it is, from 0.
        priority: how urgent it is; the higher goes first.
        sequence: the numbers of its chunks, in the order in which they are to go out; None: from the first on.
        needs: pairs of the number of a kind of resource and how many units of it each task holds.
        collector: who is told of outcomes: what is called with a list of places and results that have come, what is
            called with place, item and exception and returns the result to take, both or None, and whether the failure
            that comes first counts, not that of the first item. None: nobody.
    """

    failed = retried = 0
    tick: "Callable[[], object] | None" = None
    number = priority = 0
    sequence: "Sequence[int] | None" = None
    needs: "tuple[tuple[int, int], ...]" = ()
    is_computed_by_its_caller = False
    collector: "Any" = None
    _most_done = 0

    def __init__(self, crew, order, function, items, chunk, wishes=None, callbacks=None):
        self.order = order
        self.function = function
        self.items = items
        self.chunk = chunk
        self.wishes = wishes
        self.supplier: Supplier = _NOBODY
        self._crew = crew
        self._callbacks = callbacks or (None, None)
        self._watchers = []
        self.said: dict = {}
        self.pid = os.getpid()

    def call(self, item):
        """Call the function for an item."""
        if self.order == "apply":
            return self.function(*item[0], **item[1])
        return self.function(*item) if self.order == "starmap" else self.function(item)

    def is_by_item(self):
        """Return whether each item is to be called by `run`: its task is to be known, or its failure is its own."""
        return as_informed(self.function) is not None or (
            self.collector is not None and self.collector.failed is not None
        )

    def run(self, item, place, deadline=None, tries=0):
        """Call the function for the item at a place, as the task that it is; the rest is as `spots.begin` has it.

        Raises:
            BaseException: what it raised; RuntimeError for StopIteration.
        """
        before = spots.begin(self, place, None, deadline, tries)
        try:
            with self._crew.as_worker():
                return self.call(item)
        except StopIteration:
            raise stopped(self.function) from None
        finally:
            spots.end(before)

    def task_at(self, spot):
        """Return the task at a spot where this thread is."""
        return spots.task_of(spot)

    def outcome(self, item, place=0):
        """Call the function for an item, as often as was wished for; return its outcome."""
        _, most, retry_on = self.wishes or (None, 0, ())
        tries = 0
        while True:
            try:
                return self.run(item, place, None, tries)
            except BaseException as error:
                if not (tries < most and retry_on and isinstance(error, retry_on)):
                    return Failure(error)
            tries += 1
            self.retried += 1

    def progress(self):
        """Return how far the job is, as that of an engine does: how many items there are, if that is known, how many
        have their outcome, how many of these have failed, how often one was tried again, and what runs."""
        running, more = self.supplier.tasks()
        done, known = self.counts()
        # What has just got its outcome is not taken back, though it is looked at twice or never.
        self._most_done = done = max(self._most_done, min(done + more, known))
        return (known if self.is_complete() else None), done, self.failed, self.retried, running

    def counts(self):
        """Return how many items have their outcome, and how many are known."""
        raise NotImplementedError

    def is_complete(self):
        """Return whether all items are known."""
        return True

    def collected(self, start, outcomes):
        """Tell of the outcomes of items from `start` on; return what is to be taken for them."""
        told, failed, _ = self.collector
        if told is not None:
            news = [(place, value) for place, value in enumerate(outcomes, start) if type(value) is not Failure]
            if news:
                told(news)
        if failed is not None and Failure in map(type, outcomes):
            outcomes = [
                failed(place, self.item_at(place), outcome.error) if type(outcome) is Failure else outcome
                for place, outcome in enumerate(outcomes, start)
            ]
        return outcomes

    def watch(self, watcher):
        """Have `watcher` called once, by another thread, when there is something to be read; False if there is now."""
        if self._readable():
            return False
        self.check_here()
        self._watchers.append(watcher)
        return not self._readable()

    def check_here(self):
        """Raise RuntimeError in a copy of the process: no outcome comes there."""
        if self.pid != os.getpid():
            raise RuntimeError(f"this result belongs to process {self.pid}: its outcome does not come here")

    def _wake(self):
        while self._watchers:
            try:
                watcher = self._watchers.pop()
            except IndexError:  # another thread took the last one
                return
            watcher()

    def item_at(self, place):
        """Return the item at a place, which has no outcome yet; None where it is forgotten."""
        raise NotImplementedError

    def _readable(self):
        raise NotImplementedError


class Whole(Job):
    """A job with one value, when all of it has ended: of `apply`, a map."""

    def __init__(self, *description):
        super().__init__(*description)
        self.settled = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._values = [None] * len(self.items)
        self._left = len(self.items)
        self._first_error = None
        self._failed_at = len(self.items)
        self._success = False
        self._value = None
        self._error: BaseException | None = None

    def ready(self):
        """Return whether there is a value, or an exception."""
        return self._over.is_set()

    done = _readable = ready

    def successful(self):
        """Return whether the job, which is done, has a value."""
        return self._success

    def wait(self, timeout):
        """Wait for the end, at most `timeout` seconds (None: no limit); return whether it has come."""
        if self._over.is_set():
            return True
        self.check_here()
        until = None if timeout is None else monotonic() + timeout
        while not self._over.wait(_slice_of(until)):
            if until is not None and monotonic() >= until:
                return False
        return True

    def finish(self):
        """Wait for the end."""
        self.wait(None)

    def value(self):
        """Return the value of the job, which is done, or raise its exception."""
        if self._success:
            return self._value
        assert self._error is not None
        raise self._error

    def counts(self):
        """Return how many items have their outcome, and how many are known."""
        return len(self._values) - self._left, len(self._values)

    def cancel(self, why):
        """Give the job up: its exception is `why`. False when it was done."""
        supplier = self.supplier
        if not self.settle(False, why):
            return False
        supplier.give_up(False)
        return True

    def is_out(self):
        """Return whether a task of a job that was given up is known to run still: none is, a thread cannot be ended."""
        return False

    def end(self, closes=False):
        """Take nothing more: a job that was given up has its outcome already."""

    def deliver(self, start, outcomes):
        """Take the outcomes of the items from `start` on, each once; the last ones end the job."""
        if self.collector is not None:
            if self.settled:
                return
            try:
                outcomes = self.collected(start, outcomes)
            except BaseException as error:  # they cannot be kept
                self.settle(False, error)
                return
        if Failure in map(type, outcomes):
            for place, outcome in enumerate(outcomes, start):
                if type(outcome) is Failure:
                    self.fail(place, 1, outcome.error)
                else:
                    self._place(place, [outcome])
        else:
            self._place(start, outcomes)

    def item_at(self, place):
        """Return the item at a place; None where the job has ended."""
        items = self.items
        return items[place] if place < len(items) else None

    def _place(self, start, values):
        self._values[start : start + len(values)] = values
        self._count(len(values))

    def fail(self, start, count, error):
        """Take `error` as the outcome of `count` items from `start` on; of several the first by place is raised, or the
        one that came first."""
        by_time = self.collector is not None and self.collector.by_time
        with self._lock:
            self.failed += count
            if start < self._failed_at and not (by_time and self._first_error is not None):
                self._first_error, self._failed_at = error, start
        self._count(count)

    def _count(self, items):
        with self._lock:
            self._left -= items
            if self._left:
                return
        if self._first_error is not None:
            self.settle(False, self._first_error)
        else:
            self.settle(True, self._values[0] if self.order == "apply" else self._values)

    def settle(self, success, value, tell=True):
        """End the job, once; False when it had ended. `tell` has the user's callback called."""
        with self._lock:
            if self.settled:
                return False
            self.settled = True
            self._success = success
            if success:
                self._value = value
            else:
                self._error = value
        (callback, error_callback), self._callbacks = self._callbacks, (None, None)
        if not success:
            callback = error_callback
            self._values = [None] * len(self._values)
        if tell and callback is not None:
            self._tell(callback, value)
        self.items = ()
        self.supplier = _NOBODY
        self._over.set()
        self._wake()
        self._crew.done(self)
        return True

    def _tell(self, callback, value):
        # A callback that raises must neither lose the result nor end the thread that settles results.
        try:
            with self._crew.turn:
                callback(value)
        except BaseException as error:
            report = (type(error), error, error.__traceback__, threading.current_thread())
            threading.excepthook(threading.ExceptHookArgs(report))


class Stream(Job):
    """A job whose outcomes are read one after the other: of a lazy map.

    Whoever computes takes items by `take`, when `has_room`, and delivers their outcomes.

    Args:
        most: how many items may be ahead of the outcomes that were read; None: see `LOOK_AHEAD_ITEMS`.
    """

    def __init__(self, *description, most=None):
        super().__init__(*description)
        self.supplier = Supplier(self)
        self.given_up = False  # whether nobody wants the rest
        self.unread = False  # whether nobody can read the outcomes any more
        self._bounded = most is not None or length_hint(self.items, -1) < 0
        self._most = most or LOOK_AHEAD_ITEMS
        self._ordered = self.order == "imap"
        self._arrival = threading.Condition(threading.Lock())
        self._outcomes = deque()
        self._early = {}
        self._taken = {}  # items without an outcome, for who is told of failures
        self._placed = 0  # up to which item outcomes came in order
        self._came = 0
        self._known = 0
        self._read = 0
        self._length = None
        self._asked = False
        self._taking = False  # whether a thread takes items just now
        self._closes = False  # whether the items are to be closed when none does
        self._ended = False

    # -- for whoever computes ---------------------------------------------------------------------------------------

    def has_room(self, after_pause=False):
        """Return whether more items are to be taken now; `after_pause`, which is worth it for a half of them."""
        if self._length is not None or self.given_up:
            return False
        if not self._bounded or self.unread or self._crew.closing:
            return True
        ahead = self._known - self._read
        return ahead <= self._most // 2 if after_pause else ahead < self._most

    def room(self):
        """Return how many items may be taken now."""
        if not self.has_room():
            return 0
        if not self._bounded or self.unread or self._crew.closing:
            return LOOK_AHEAD_ITEMS
        return max(0, self._most - (self._known - self._read))

    def take(self, count):
        """Take up to `count` items, in one thread at a time; return the place of the first one and their list.

        An empty list says that there are no more. Where the iterable raises, that is the outcome in place of the items
        of that chunk.
        """
        chunk, error = [], None
        with self._arrival:
            if self._length is not None:
                return self._known, chunk
            self._taking = True
        if not self.given_up:
            try:
                chunk.extend(itertools.islice(self.items, count))
            except BaseException as raised:
                error = raised
                del chunk[len(chunk) - len(chunk) % self.chunk :]  # as in the standard library
        with self._arrival:
            self._taking = False
            start = self._known
            if not self.given_up:
                self._known += len(chunk)
                if error is not None or len(chunk) < count:
                    self._length = self._known + (error is not None)
        if self.given_up:
            self.end(self._closes)
            return start, []
        if self._length is not None:
            self.items = iter(())
            self._deliver(self._known, [] if error is None else [Failure(error)])
        if self.collector is not None and self.collector.failed is not None:
            self._taken.update(enumerate(chunk, start))
        return start, chunk

    def deliver(self, start, outcomes):
        """Take the outcomes of the items from `start` on, each once; the last ones end the job."""
        if self.collector is not None and not (self._ended or self.given_up):
            try:
                outcomes = self.collected(start, outcomes)
            except BaseException as error:  # they cannot be kept
                self.settle(False, error)
                return
            for place in range(start, start + len(outcomes)):
                self._taken.pop(place, None)
        self._deliver(start, outcomes)

    def item_at(self, place):
        """Return the item at a place; None where nobody wants it."""
        return self._taken.get(place)

    def _deliver(self, start, outcomes):
        with self._arrival:
            if self._ended or self.given_up:
                return
            self._came += len(outcomes)
            self.failed += sum(type(outcome) is Failure for outcome in outcomes)
            if not self._ordered:
                self._outcomes.extend(outcomes)
            elif outcomes:
                self._early[start] = outcomes
                while (ready := self._early.pop(self._placed, None)) is not None:
                    self._outcomes.extend(ready)
                    self._placed += len(ready)
            if self.unread:
                self._outcomes.clear()
            self._arrival.notify_all()
            self._ended = last = self._came == self._length
        self._wake()
        if last:
            self._part()

    def end(self, closes=False):
        """Have no more outcomes; `closes`: close the items, if they come from a generator, in this thread or in that
        which takes one just now."""
        with self._arrival:
            self.given_up = True
            self._closes |= closes
            items = iter(())
            if not self._taking:
                items, self.items = self.items, items
            self._outcomes.clear()
            self._early.clear()
            self._arrival.notify_all()
            done, self._ended = self._ended, True
        self._wake()
        if not done:
            self._part()
        close = getattr(items, "close", None)
        if self._closes and close is not None and hasattr(items, "throw"):
            close()

    def settle(self, success, error, tell=False):
        """End with `error` behind what has arrived in order; False when the job had ended."""
        with self._arrival:
            if self._ended:
                return False
            self._ended = True
            self._outcomes.append(Failure(error))
            self._early.clear()
            self._length = self._came
            self._arrival.notify_all()
        self._wake()
        self._part()
        return True

    def is_complete(self):
        """Return whether all items are known."""
        return self._length is not None

    def _part(self):
        """The job has ended: let go of whoever computed it, and tell the crew."""
        self.supplier = _NOBODY
        self._crew.done(self)

    # -- for whoever reads ------------------------------------------------------------------------------------------

    def next(self, timeout):
        """Return the next outcome's value in a tuple, or raise its exception; None after `timeout` seconds without.

        Raises:
            StopIteration: there are no more.
        """
        self._asked = True
        try:
            outcome = self._outcomes.popleft()
        except IndexError:
            found = self._wait_for_next(timeout)
            if found is None:
                return None
            (outcome,) = found
        if self._bounded:
            with self._arrival:
                self._read += 1
            self.supplier.go_on()
        if type(outcome) is Failure:
            raise outcome.error
        return (outcome,)

    def _wait_for_next(self, timeout):
        until = None if timeout is None else monotonic() + timeout
        while True:
            ended = self._ended
            try:
                return (self._outcomes.popleft(),)
            except IndexError:  # nothing there, or another reader was faster
                pass
            if ended:
                raise StopIteration
            self.check_here()
            if self.supplier.pull():
                continue
            with self._arrival:
                if self._outcomes or self._ended:
                    continue
                if until is not None and monotonic() >= until:
                    return None
                self._arrival.wait(_slice_of(until))

    def _readable(self):
        return bool(self._outcomes) or self._ended

    def done(self):
        """Return whether all outcomes have come in, or none will."""
        return self._ended

    ready = done

    def finish(self):
        """Wait until no outcome is missing, whether or not anybody reads them."""
        self._bounded = False
        self.supplier.go_on()
        while not self._ended:
            if not self.supplier.pull():
                with self._arrival:
                    if not self._ended:
                        self._arrival.wait(LOOK_AROUND_S)

    def counts(self):
        """Return how many items have their outcome, and how many are known."""
        return self._came, self._known

    def cancel(self, why):
        """Give the job up, which nobody has: its items stay as they are, and `why` is told to nobody. False when it was
        done."""
        if self._ended:
            return False
        self.supplier.give_up(False)
        return True

    def close(self):
        """End the job: no more items are taken, no more outcomes come; a generator of the items is closed."""
        if not self._ended and self.pid == os.getpid():
            self.supplier.give_up(True)
        self._outcomes.clear()

    def forsake(self):
        """Nobody can read the outcomes any more: end the job if somebody has, or go on without a reader."""
        if not self._ended and self.pid == os.getpid():
            self.supplier.let_go(self._asked)


def _slice_of(until):
    """Return how long to wait now for something that is waited for until a moment, or for ever."""
    return LOOK_AROUND_S if until is None else max(0.0, min(LOOK_AROUND_S, until - monotonic()))


def stopped(function):
    """Return the exception for a function that raised StopIteration."""
    return RuntimeError(f"{function!r} raised StopIteration, which would end the map without a result")
