"""What the threads of a ThreadPool share and do.

The workers take steps (callables without arguments) from one queue and settle the results themselves, so
a task costs one hand-over each way and there are no helper threads.
"""

import itertools
import os
import queue
import threading

from procession.iterators import Failure, IMapIterator
from procession.portable import PoolTerminated

# How many results of an iterable without a length may lie unread before its next item is taken.
LOOK_AHEAD_ITEMS = 1024


class Crew:
    """What the threads of a pool share.  It knows no pool, so that a forgotten pool can be collected."""

    def __init__(self, count):
        self.turn = threading.RLock()
        self.steps = queue.SimpleQueue()
        self.closing = False
        self._count = count
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._jobs = {}
        self._broken = None

    def is_ours(self):
        """Whether this process has the threads (a forked child has not)."""
        return self._pid == os.getpid()

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
            if isinstance(job, IMapIterator) and job._taken is not None:
                job._taken(0)
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
        for _ in range(self._count):
            self.steps.put(None)


class Chunks:
    """The chunks of a map.  Its `step` travels through the queue: whoever holds it takes the next one.

    So a map of any length is queued by one hand-over, and a pool that is terminated at once has begun nothing of it.
    """

    def __init__(self, crew, result, mapper, func, items, size):
        self._crew = crew
        self._result = result
        self._mapper = mapper
        self._func = func
        self._items = items
        self._size = size
        self._next = 0

    def step(self):
        """Take a chunk, pass the right to the next one on, compute the chunk."""
        start, self._next = self._next, self._next + self._size
        chunk = self._items[start : self._next]
        if self._next < len(self._items):
            self._crew.steps.put(self.step)
        run_chunk(self._crew, self._result, self._mapper, self._func, start, chunk)


class Source:
    """The input of a lazy map.  Its `step` travels through the queue: whoever holds it may read an item."""

    def __init__(self, crew, kind, func, iterable, chunksize, buffersize):
        self._crew = crew
        self._func = func
        self._items = iter(iterable)
        self._chunksize = chunksize
        self._bounded = buffersize is not None or not hasattr(iterable, "__len__")
        self._most_unread = buffersize or LOOK_AHEAD_ITEMS
        self._lock = threading.Lock()
        self._unread = 0
        self._parked = False
        self._index = 0
        self.results = kind(self._take if self._bounded else None)

    def step(self):
        """Read a chunk, pass the right to read on, compute the chunk."""
        error = None
        chunk = []
        try:
            chunk.extend(itertools.islice(self._items, self._chunksize))
        except BaseException as raised:
            error, chunk = raised, []
        index, self._index = self._index, self._index + 1
        if error is not None:
            self.results._deliver(index, [Failure(error)])
            self._finish(index + 1)
        elif not chunk:
            self._finish(index)
        else:
            self._pass_on(len(chunk))
            if self.results._deliver(index, _outcomes(self._func, chunk)):
                self._crew.done(self.results)

    def _pass_on(self, count):
        if self._bounded:
            with self._lock:
                self._unread += count
                self._parked = self._unread >= self._most_unread and not self._crew.closing
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
        if self.results._set_length(chunks):
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
        if step is None:
            return
        step()
        step = None  # an idle worker keeps no argument and no result alive


def run_call(crew, result, func, args, kwds):
    if not result.ready():  # it may have been cancelled
        try:
            value = func(*args, **kwds)
        except BaseException as error:
            result._settle(False, error)
        else:
            result._settle(True, value)
    crew.done(result)


def run_chunk(crew, result, mapper, func, start, chunk):
    if result.ready():  # it was cancelled
        if result._chunk_failed(None):
            crew.done(result)
        return
    try:
        values = list(mapper(func, chunk))
        if len(values) < len(chunk):
            raise _stopped(func)
    except BaseException as error:
        last = result._chunk_failed(error)
    else:
        last = result._chunk_done(start, values)
    if last:
        crew.done(result)


def _outcomes(func, chunk):
    """Return one outcome for each item; a failing one does not keep the others from being computed."""
    outcomes = []
    calls = map(func, chunk)
    while len(outcomes) < len(chunk):
        try:
            outcomes.extend(calls)  # keeps what it has when a call raises, and `calls` goes on behind it
            if len(outcomes) < len(chunk):
                outcomes.append(Failure(_stopped(func)))
        except BaseException as error:
            outcomes.append(Failure(error))
    return outcomes


def _stopped(func):
    return RuntimeError(f"{func!r} raised StopIteration, which would end the map without a result")
