"""The crew that has no workers: whoever calls, or reads, computes. For a debugger, and to compare with.

Tasks run in the thread that hands them in, before the method returns; those of lazy maps run when their outcomes are
read.
"""

import threading
from collections import deque

from procession._pool.crews import Crew
from procession._pool.jobs import Failure, Stream, Supplier
from procession._pool.worker import finish

__all__ = ["Serial"]


class Serial(Crew):
    """Nobody but the caller."""

    offers = frozenset(("retries", "seed", "seed_globals", "finalizer"))
    whole = "a serial pool, which runs tasks in the caller,"

    def __init__(self, ctx, terms):
        super().__init__(ctx, terms)
        self._gone: deque = deque()  # lazy maps whose iterator is gone, and whether somebody had read it

    def start(self, job):
        """Compute a job, or have it computed by its reader."""
        self._sweep()
        job.is_computed_by_its_caller = True
        if isinstance(job, Stream):
            job.supplier = Reader(job, self._gone)
            return
        job.supplier = caller = Caller(job)
        for place, item in enumerate(job.items):
            caller.place = place
            job.deliver(place, [_outcome(job, item, place)])
            if job.tick is not None:
                job.tick()

    def _sweep(self):
        while self._gone:
            job, asked = self._gone.popleft()
            if asked:
                job.end()
            else:  # it was made for what its function does
                job.unread = True
                job.finish()

    def join(self, timeout):
        """Compute what is left of lazy maps."""
        self._sweep()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.finish()

    def dismiss(self):
        """Nobody is there to be let go."""
        with self.as_worker():
            finish(self.terms.finalizer)
        self.ended = True


class Caller(Supplier):
    """Computes a job in the thread that hands it in.

    Attributes:
        place: the item that it computes; None before and after.
        start: the first of those that go together with it.
    """

    place: "int | None" = None
    start: "int | None" = None

    def running(self):
        """Return what is computed just now."""
        place, start = self.place, self.start
        return [] if place is None else [(0, place, 0 if start is None else place - start)]


class Reader(Caller):
    """Computes a lazy map in the thread that reads it."""

    def __init__(self, job, gone):
        super().__init__(job)
        self._gone = gone
        self._lock = threading.RLock()

    def pull(self):
        """Take a chunk and compute it; return whether there was one."""
        with self._lock:
            start, chunk = self.job.take(self.job.chunk)
            outcomes, self.start = [], start
            try:
                for self.place, item in enumerate(chunk, start):  # noqa: B020 - who looks on is told
                    outcomes.append(_outcome(self.job, item, self.place))
            except BaseException as error:
                self.job.settle(False, error)
                raise
            finally:
                self.place = None
        if chunk:
            self.job.deliver(start, outcomes)
        return bool(chunk)

    def let_go(self, asked):
        """The iterator is gone: the next call of a method of the pool does what is to be done."""
        self._gone.append((self.job, asked))


def _outcome(job, item, place):
    outcome = job.outcome(item, place)
    if type(outcome) is Failure and isinstance(outcome.error, KeyboardInterrupt):
        raise outcome.error  # Ctrl-C is meant for the caller
    return outcome
