"""What the threads of a ThreadPool share and do.

The workers take steps (callables without arguments) from one queue and settle the results themselves, so
a task costs one hand-over each way and there are no helper threads.
"""

import itertools
import os
import queue
import threading
from functools import partial

from procession._exceptions import PoolTerminated
from procession._pool.thread_iterators import Failure, Outcomes
from procession._pool.thread_trials import Trial, Watch

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


# How many results of an iterable without a length may lie unread before its next item is taken.
LOOK_AHEAD_ITEMS = 1024


class Crew:
    """What the threads of a pool share.  It knows no pool, so that a forgotten pool can be collected."""

    def __init__(self, count, name, initializer, initargs):
        self.turn = threading.RLock()
        self.steps = queue.SimpleQueue()
        self.closing = False
        self.threads = []
        self.watch = Watch(f"{name}-deadlines")
        self._names = (f"{name}-{number}" for number in itertools.count(1))
        self._initial = initializer, initargs
        self._count = count
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._jobs = {}
        self._broken = None

    def is_ours(self):
        """Whether this process has the threads (a forked child has not)."""
        return self._pid == os.getpid()

    def hire(self):
        """Start a thread."""
        thread = threading.Thread(target=work, args=(self, *self._initial), name=next(self._names), daemon=True)
        self.threads.append(thread)
        thread.start()

    def replace(self, thread):
        """Have another thread in the place of one whose task was given up; that one ends when the task returns."""
        self.threads.remove(thread)
        self.hire()

    def start(self, result, step):
        """Queue the step that settles `result`, or has others follow; None if it is settled already.

        A pool whose initializer failed, or that was terminated meanwhile, fails it at once.

        Raises:
            ValueError: the pool was closed meanwhile.
        """
        with self._lock:
            broken = self._broken
            if broken is None and self.closing:
                raise ValueError("Pool not running")
            if broken is None and step is not None:
                self._jobs[id(result)] = result
                # Before the lock is free: what lets the workers go comes behind it.
                self.steps.put(step)
        if broken is not None:
            result._settle(False, broken)

    def done(self, result):
        """Forget a settled result; the last one of a closing pool lets the workers go."""
        with self._lock:
            self._jobs.pop(id(result), None)
            if not (self.closing and not self._jobs):
                return
        self._dismiss()

    def close(self):
        """Let the workers end after the last job, and lazy maps read on without waiting for their reader."""
        if not self.is_ours():
            return
        with self._lock:
            self.closing = True
            jobs = list(self._jobs.values())
        for job in jobs:
            if isinstance(job, Outcomes) and job.taken is not None:
                job.taken(0)
        if not jobs:
            self._dismiss()

    def terminate(self):
        """Drop what is queued and fail what has no outcome yet."""
        if self.is_ours():
            self.closing = True
            self.fail(PoolTerminated("the pool was terminated before this task was done"), tell=False)

    def fail(self, error, tell=True):
        """Settle all jobs, and those to come, with `error`; the workers end."""
        with self._lock:
            self._broken = error
            jobs, self._jobs = list(self._jobs.values()), {}
        while not self.steps.empty():
            try:
                self.steps.get_nowait()
            except queue.Empty:
                break
        for job in jobs:
            job._settle(False, error, tell)
        self._dismiss()

    def _dismiss(self):
        self.watch.end()
        for _ in range(self._count):
            self.steps.put(None)


class Chunks:
    """The chunks of a map.  Its `step` travels through the queue: whoever holds it takes the next one.

    So a map of any length is queued by one hand-over, and a pool that is terminated at once has begun nothing of it.
    """

    def __init__(self, crew, result, mapper, func, items, size, wanted):
        self._crew = crew
        self._result = result
        self._mapper = mapper
        self._func = func
        self._items = items
        self._size = size
        self._wanted = wanted
        self._next = 0

    def step(self):
        """Take a chunk, pass the right to the next one on, compute the chunk; True when this thread is to end."""
        start, self._next = self._next, self._next + self._size
        chunk = list(self._items[start : self._next])
        if self._next < len(self._items):
            self._crew.steps.put(self.step)
        if self._wanted is None:
            run_chunk(self._crew, self._result, self._mapper, self._func, start, chunk)
            return False
        call = partial(_first_of, self._mapper, self._func, chunk)
        result = self._result
        return Trial(self._crew, self._wanted, call, partial(self._settle, start), lambda: not result.ready()).step()

    def _settle(self, start, success, value):
        done = self._result._chunk_done(start, [value]) if success else self._result._chunk_failed(start, value)
        if done:
            self._crew.done(self._result)


class Source:
    """The input of a lazy map.  Its `step` travels through the queue: whoever holds it may read an item."""

    def __init__(self, crew, outcomes_type, func, iterable, chunksize, buffersize, wanted):
        self._crew = crew
        self._func = func
        self._items = iter(iterable)
        self._chunksize = chunksize
        self._bounded = buffersize is not None or not hasattr(iterable, "__len__")
        self._most_unread = buffersize or LOOK_AHEAD_ITEMS
        self._wanted = wanted
        self._lock = threading.Lock()
        self._unread = 0
        self._parked = False
        self._index = 0
        self._reading = False  # whether a thread takes items just now
        self._closed = False
        self._closes = False  # whether the items are to be closed when none does
        self._running = {}  # the chunks in work
        self.results = outcomes_type(self._take if self._bounded else None)

    def step(self):
        """Read a chunk, pass the right to read on, compute the chunk; True when this thread is to end."""
        chunk, error = [], None
        with self._lock:
            if self._closed:
                return False
            self._reading = True
        try:
            chunk.extend(itertools.islice(self._items, self._chunksize))
        except BaseException as raised:
            error, chunk = raised, []
        with self._lock:
            self._reading = False
            items, closes = None, self._closes
            if closed := self._closed:
                items, self._items = self._items, iter(())
        if closed:
            if closes:
                _close_quietly(items)
            return False
        index, self._index = self._index, self._index + 1
        if error is not None:
            self.results.deliver(index, [Failure(error)])
            self._finish(index + 1)
        elif not chunk:
            self._finish(index)
        else:
            self._pass_on(len(chunk))
            return self._compute(index, chunk)
        return False

    def _compute(self, index, chunk):
        if self._wanted is not None:
            call, settle = partial(self._func, chunk[0]), partial(self._settle, index)
            return Trial(self._crew, self._wanted, call, settle, lambda: not self._closed).step()
        self._running[index] = chunk
        if not self._closed:
            outcomes = _outcomes(self._func, chunk)
            if self.results.deliver(index, outcomes):
                self._crew.done(self.results)
        self._running.pop(index, None)
        return False

    def _settle(self, index, success, value):
        if self.results.deliver(index, [value if success else Failure(value)]):
            self._crew.done(self.results)

    def give_up(self, closes):
        """End the map: take no more items, begin no more of those that were taken; `closes`: close the generator of the
        items, too."""
        if not self._crew.is_ours():  # a thread that stayed behind in the fork may have the lock
            return
        with self._lock:
            items: Any = None
            self._closes |= closes
            if not self._reading:
                items, self._items = self._items, iter(())
            self._closed = True
        self._skip_running()
        self.results.end()
        self._crew.done(self.results)
        if closes and hasattr(items, "throw"):
            items.close()

    def let_go(self, asked):
        """The iterator is gone; `asked`: somebody had read it.

        It goes in the midst of anything, wherever memory is collected, also where this thread has one of the locks
        here. So no lock is taken: one of the workers does the rest.
        """
        if not self._crew.is_ours():
            return
        if asked:
            self._skip_running()
        self._crew.steps.put(partial(self.give_up, False) if asked else self.forsake)

    def _skip_running(self):
        """Begin no more of the items that were taken."""
        for chunk in list(self._running.values()):
            chunk.clear()

    def forsake(self):
        """Nobody can read the results any more: they need no memory, and no reader to go on."""
        if not self._crew.is_ours():
            return
        self.results.unread = True
        self._bounded = False
        with self._lock:
            parked, self._parked = self._parked, False
        if parked:
            self._crew.steps.put(self.step)

    def _pass_on(self, count):
        if self._bounded:
            with self._lock:
                self._unread += count
                self._parked = self._bounded and self._unread >= self._most_unread and not self._crew.closing
                if self._parked:
                    return
        self._crew.steps.put(self.step)

    def _take(self, count=1):
        """`count` results were read, or the pool closes: read on if the input was too far ahead."""
        with self._lock:
            self._unread -= count
            if not self._parked or (self._unread > self._most_unread // 2 and not self._crew.closing):
                return
            self._parked = False
        self._crew.steps.put(self.step)

    def _finish(self, chunks):
        self._items = iter(())
        if self.results.set_length(chunks):
            self._crew.done(self.results)


def work(crew, initializer, initargs):
    """The life of a worker.  Steps raise nothing, so nothing but the end of the pool ends it."""
    if initializer is not None:
        try:
            initializer(*initargs)
        except BaseException as error:
            crew.fail(error)
            return
    while True:
        step = crew.steps.get()
        if step is None or step():
            return
        step = None  # an idle worker keeps no argument and no result alive


def run_call(crew, result, func, args, kwds, wanted):
    if wanted is not None:
        settle = partial(_settle_call, crew, result)
        return Trial(crew, wanted, partial(func, *args, **kwds), settle, lambda: not result.ready()).step()
    if not result.ready():  # it may have been cancelled
        try:
            value = func(*args, **kwds)
        except BaseException as error:
            result._settle(False, error)
        else:
            result._settle(True, value)
    crew.done(result)
    return False


def _settle_call(crew, result, success, value):
    result._settle(success, value)
    crew.done(result)


def run_chunk(crew, result, mapper, func, start, chunk):
    size = len(chunk)
    result._running[start] = chunk  # before the look: whoever cancels it settles it first
    if result._settled:
        last = result._chunk_failed(start, None)
    else:
        try:
            values = list(mapper(func, chunk))
            if len(values) < size and not result._settled:
                raise _stopped(func)
        except BaseException as error:
            last = result._chunk_failed(start, error)
        else:
            last = result._chunk_done(start, values)
    result._running.pop(start, None)
    if last:
        crew.done(result)


def _first_of(mapper, func, chunk):
    for value in mapper(func, chunk):
        return value
    raise _stopped(func)


def _close_quietly(items):
    """Close a generator in a thread where nobody can get what that raises."""
    try:
        if hasattr(items, "throw"):
            items.close()
    except BaseException as error:
        threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))


def _outcomes(func, chunk):
    """Return one outcome for each item; a failing one does not keep the others from being computed."""
    outcomes = []
    calls = map(func, chunk)
    while len(outcomes) < len(chunk):  # which is emptied when nobody wants the rest
        try:
            outcomes.extend(calls)  # keeps what it has when a call raises, and `calls` goes on behind it
            if len(outcomes) < len(chunk):
                outcomes.append(Failure(_stopped(func)))
        except BaseException as error:
            outcomes.append(Failure(error))
    return outcomes


def _stopped(func):
    return RuntimeError(f"{func!r} raised StopIteration, which would end the map without a result")
