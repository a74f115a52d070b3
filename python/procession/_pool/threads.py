"""The crew of threads, of a `ThreadPool`.

The workers take steps (callables without arguments) from one queue and deliver the outcomes themselves, so
a task costs one hand-over each way and there are no helper threads.
"""

import itertools
import queue
import threading
import warnings
from functools import partial
from time import monotonic

from procession._pool import attention, spots
from procession._pool.crews import Crew
from procession._pool.current import Worker, here
from procession._pool.jobs import Failure, Stream, Supplier, stopped
from procession._pool.thread_staff import Aside, Elastic, Staff
from procession._pool.thread_trials import Trial, TrialWatch
from procession._pool.worker import finish

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Threads"]

# A thread cannot be killed. `join` after `terminate` leaves one that is stuck in its task after this time.
TERMINATED_JOIN_LIMIT_S = 5.0
_numbers = itertools.count(1)


class Threads(Crew):
    """Threads that work for a pool. They know no pool, so that a forgotten one can be collected."""

    offers = frozenset(("timeout", "retries", "seed", "finalizer", "min_workers"))
    whole = "a pool of threads"

    def __init__(self, ctx, terms):
        super().__init__(ctx, terms)
        name = f"ThreadPool-{next(_numbers)}"
        self.steps = queue.SimpleQueue()
        self.watch = TrialWatch(f"{name}-deadlines")
        call = partial(work, self, terms)
        elastic = terms.elastic
        self.staff = Staff(self.steps, name, call) if elastic is None else Elastic(self.steps, name, call, elastic)
        self.put: Any = self.steps.put if elastic is None else self.staff.put
        self.replace = self.staff.replace
        self.processes = self.staff.members

    def begin(self):
        """Start the threads."""
        for _ in range(self.terms.count):
            self.staff.hire()

    @property
    def count(self):
        """How many threads there are to be."""
        return self.staff.count

    def resize(self, count):
        """Have `count` threads from now on."""
        self.staff.resize(count)

    def chunk_of(self, job):
        """Return how many items of a map go together: see `Crew.chunk_of`."""
        return job.chunk or max(1, -(-len(job.items) // (4 * max(1, self.staff.most()))))

    def start(self, job):
        """Queue the step that computes a job, or a part of it and has others follow."""
        if isinstance(job, Stream):
            step = Source(self, job).step
        elif job.order == "apply":
            step = partial(run_call, self, job)
        else:
            step = Chunks(self, job).step
        self.put(step)

    def dismiss(self):
        """Let the threads end."""
        self.watch.end()
        self.staff.dismiss()

    def fail(self, error, tell=True):
        """Settle all jobs, and those to come, with `error`, and let the threads go."""
        with self._lock:
            self._broken = error
        while not self.steps.empty():
            try:
                self.steps.get_nowait()
            except queue.Empty:
                break
        super().fail(error, tell)
        if self._dismissed:  # by somebody whose word to the threads may have been among those steps
            self.staff.dismiss()

    def forgotten(self):
        """Work off what is there: results may be waited for, and callbacks counted on."""
        self.close()

    def await_end(self, limit):
        """Wait for the threads; after `terminate` one that stays in its task for 5 seconds is left to itself (a daemon
        thread)."""
        if self._broken is not None and limit is None:
            limit = TERMINATED_JOIN_LIMIT_S
        until = None if limit is None else monotonic() + limit
        for thread in [*self.processes, *self.staff.left]:
            if thread is not threading.current_thread():
                attention.join(thread, None if until is None else max(0.0, until - monotonic()))
        self.watch.join(TERMINATED_JOIN_LIMIT_S if until is None else max(0.0, until - monotonic()))
        stuck = sum(thread.is_alive() for thread in self.processes)
        self.ended = not stuck
        if stuck and until is not None:
            warnings.warn(f"{stuck} threads of a pool are still in their tasks", ResourceWarning, stacklevel=3)


class Chunks(Supplier):
    """The chunks of a map. Its `step` travels through the queue: whoever holds it takes the next one.

    So a map of any length is queued by one hand-over, and a pool that is terminated at once has begun nothing of it.
    """

    def __init__(self, crew, job):
        super().__init__(job)
        job.supplier = self
        self._crew = crew
        self._items = job.items
        self._mapper = itertools.starmap if job.order == "starmap" else map
        # With wishes each call has a limit of its own.
        self._size = crew.chunk_of(job) if job.wishes is None else 1
        self._next = 0
        self._running = {}  # the chunks in work, by their first item

    def step(self):
        """Take a chunk, pass the right to the next one on, compute the chunk; True when this thread is to end."""
        job = self.job
        if job.settled:
            return False
        start, self._next = self._next, self._next + self._size
        chunk = list(self._items[start : self._next])
        if self._next < len(self._items):
            self._crew.put(self.step)
        if job.wishes is None:
            self._run(start, chunk)
            return False
        return _trial(self._crew, job, chunk[0], start, lambda: not job.settled)

    def _run(self, start, chunk):
        job, size, calls = self.job, len(chunk), iter(chunk)
        # Before the look: whoever cancels it settles it first.
        self._running[start] = chunk, calls, here.worker.index
        if job.is_by_item():
            for place, item in enumerate(calls, start):
                if not job.settled:
                    job.deliver(place, [job.outcome(item, place)])
            self._running.pop(start, None)
            return
        if job.settled:
            self._running.pop(start, None)
            return
        before = spots.begin(job, start, calls)
        try:
            values = list(self._mapper(job.function, calls))
            if len(values) < size and not job.settled:
                raise stopped(job.function)
        except BaseException as error:
            self._end(start, before)
            job.fail(start, size, error)
        else:
            self._end(start, before)
            job.deliver(start, values)

    def _end(self, start, before):
        spots.end(before)
        self._running.pop(start, None)

    def running(self):
        """Return what is computed just now."""
        return _running(self._running, self.job.is_by_item())

    def give_up(self, closes):
        """Begin no more of the items that were taken."""
        for chunk, _, _ in list(self._running.values()):
            chunk.clear()


class Source(Supplier):
    """The input of a lazy map. Its `step` travels through the queue: whoever holds it may take items."""

    def __init__(self, crew, job):
        super().__init__(job)
        job.supplier = self
        self._crew = crew
        self._size = job.chunk if job.wishes is None else 1
        self._lock = threading.Lock()
        self._parked = False  # whether the step waits for the reader
        self._running = {}  # the chunks in work

    def step(self):
        """Take a chunk, pass the right to take on, compute the chunk; True when this thread is to end."""
        try:
            start, chunk = self.job.take(self._size)
        except BaseException as error:  # of a generator that was closed: nobody can get that
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
            return False
        if not chunk:
            return False
        with self._lock:
            self._parked = not self.job.has_room()
        if not self._parked:
            self._crew.put(self.step)
        return self._compute(start, chunk)

    def _compute(self, start, chunk):
        job = self.job
        if job.wishes is not None:
            return _trial(self._crew, job, chunk[0], start, lambda: not job.given_up)
        calls = iter(chunk)
        self._running[start] = chunk, calls, here.worker.index
        outcomes = None
        if not job.given_up:
            if job.is_by_item():
                outcomes = [job.outcome(item, place) for place, item in enumerate(calls, start)]
            else:
                before = spots.begin(job, start, calls)
                outcomes = _outcomes(job.function, chunk, calls)
                spots.end(before)
        self._running.pop(start, None)
        if outcomes is not None:
            job.deliver(start, outcomes)
        return False

    def running(self):
        """Return what is computed just now."""
        return _running(self._running, False)

    def go_on(self):
        """Outcomes were read, or nobody will: take items again if there is room for more."""
        with self._lock:
            if not self._parked or not self.job.has_room(after_pause=True):
                return
            self._parked = False
        self._crew.put(self.step)

    def give_up(self, closes):
        """End the map: take no more items, begin no more of those that were taken."""
        if self._crew.is_ours():  # a thread that stayed behind in the fork may have a lock
            self.job.given_up = True
            self._skip_running()
            self.job.end(closes)

    def let_go(self, asked):
        """The iterator is gone: one of the workers does what takes a lock, that this thread may have."""
        if asked:
            self._skip_running()
        self._crew.steps.put(Aside(self.give_up, False) if asked else Aside(self._forsake))

    def _skip_running(self):
        for chunk, _, _ in list(self._running.values()):
            chunk.clear()

    def _forsake(self):
        self.job.unread = True
        self.go_on()


def work(crew, terms, index):
    """The life of a worker. Steps raise nothing, so nothing but the end of the pool ends it."""
    here.worker = Worker(index)
    if terms.initializer is not None:
        try:
            terms.initializer(*terms.initargs)
        except BaseException as error:
            crew.fail(error)
            return
    staff = crew.staff
    is_elastic = terms.elastic is not None
    take = staff.next if is_elastic else crew.steps.get
    while True:
        step = take()
        if step is None:
            break
        if step():
            return
        step = None  # an idle worker keeps no argument and no result alive
        if staff.surplus and staff.may_leave():
            break
        if is_elastic:
            staff.back()
    finish(terms.finalizer)


def run_call(crew, job):
    """Compute an `apply`; True when this thread is to end."""
    args, kwds = job.items[0] if job.items else ((), {})
    if job.wishes is not None:
        return _trial(crew, job, (args, kwds), 0, lambda: not job.settled)
    if not job.settled:  # it may have been cancelled
        before = spots.begin(job, 0)
        try:
            value = job.function(*args, **kwds)
        except BaseException as error:
            spots.end(before)
            job.fail(0, 1, error)
        else:
            spots.end(before)
            job.deliver(0, [value])
    return False


def _trial(crew, job, item, place, wanted):
    """Compute an item of a job that has wishes; True when this thread is to end."""
    return Trial(crew, job.wishes, partial(job.run, item, place), partial(_settle, job, place), wanted).step()


def _settle(job, start, success, value):
    job.deliver(start, [value if success else Failure(value)])


def _running(chunks, is_told_by_item):
    """Return what `Supplier.running` does, of chunks with their iterators and workers."""
    answer = []
    for start, (_, calls, worker) in list(chunks.items()):
        computed = spots.computed(calls)
        answer.append((worker, start + computed, 0 if is_told_by_item else computed))
    return answer


def _outcomes(func, chunk, items):
    """Return one outcome for each item; a failing one does not keep the others from being computed."""
    outcomes = []
    calls = map(func, items)
    while len(outcomes) < len(chunk):  # which is emptied when nobody wants the rest
        try:
            outcomes.extend(calls)  # keeps what it has when a call raises, and `calls` goes on behind it
            if len(outcomes) < len(chunk):
                outcomes.append(Failure(stopped(func)))
        except BaseException as error:
            outcomes.append(Failure(error))
    return outcomes
