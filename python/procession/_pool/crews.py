"""Crews, which work for a pool: what one supplies, stated once, and which there are, by name.

A pool checks arguments and wraps jobs; its crew has them worked off. The crew of processes has all of this from the
engine, with the same names, and is at hand without this module; the others are made of it.
"""

import itertools
import os
import sys
import threading
import weakref

from procession._pool import current
from procession._pool.crew import _terminated
from procession._pool.jobs import Job, Stream, Whole
from procession._pool.wishes import of as named_wishes

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["CREWS", "Crew", "make"]

# The modules and classes of crews, imported when asked for; others by entry points of the group `procession_crews`.
CREWS = {
    "dask": ("procession._cluster.dask", "Nodes"),
    "mpi": ("procession._cluster.mpi", "Nodes"),
    "processes": ("procession._pool.crew", "Crew"),
    "ray": ("procession._cluster.ray", "Nodes"),
    "serial": ("procession._pool.serial", "Serial"),
    "threads": ("procession._pool.threads", "Threads"),
}
# Names the crew of all pools that ask for none, to debug a program that is left as it is.
VARIABLE = "PROCESSION_CREW"


def make(ctx, terms):
    """Return the crew that a pool asks for, else the environment, else its context.

    Raises:
        ValueError: none has that name.
        NotImplementedError: it does not offer what the pool asks for.
    """
    name = terms.crew
    is_wished_for = name is not None
    name = name or os.environ.get(VARIABLE) or getattr(ctx, "crew", None) or "processes"
    kind = _class_of(name)
    crew = kind(ctx, terms)
    crew.is_strict = is_wished_for or not os.environ.get(VARIABLE)
    if name != "processes":
        for option in terms.asked():
            crew.check_offer(option)
    return crew


def _class_of(name):
    row = CREWS.get(name) if isinstance(name, str) else None
    if row is not None:
        __import__(row[0])
        return getattr(sys.modules[row[0]], row[1])
    from importlib.metadata import entry_points

    others = {entry.name: entry for entry in entry_points(group="procession_crews")}
    if name in others:
        return others[name].load()
    raise ValueError(f"no crew is called {name!r}: there are {', '.join(sorted({*CREWS, *others}))}")


class _Intake:
    """Where jobs are handed in, by the methods of the engine's pool."""

    crew: "Any"  # the `Crew`

    def hand_in(self, job):
        """Have a job worked off."""
        raise NotImplementedError

    def apply(self, function, args, kwds, wishes=None):
        """Call a function; return what it returns, or raise what it raises."""
        return self._complete("apply", function, [(args, kwds)], 1, wishes)

    def apply_async(self, function, args, kwds, callbacks, wishes=None):
        """Have a function called; return a `Whole`."""
        return self.submit("apply", function, [(args, kwds)], 1, wishes, callbacks)

    def map(self, function, items, chunk, star, wishes=None):
        """Call a function for each item; return the list of results, or raise the first failure."""
        return self._complete("starmap" if star else "map", function, items, chunk, wishes)

    def map_async(self, function, items, chunk, star, callbacks, wishes=None, begun=None):
        """Have a function called for each item; return a `Whole`, which `begun` gets before that."""
        return self.submit("starmap" if star else "map", function, items, chunk, wishes, callbacks, begun=begun)

    def imap(self, function, items, chunk, ordered, most, wishes=None):
        """Have a function called for each item of an iterator; return a `Stream`."""
        return self.submit("imap" if ordered else "imap_unordered", function, items, chunk, wishes, None, most)

    def submit(self, order, function, items, chunk, wishes=None, callbacks=None, most=None, begun=None):
        """Make a job of a call, and have it worked off; `begun` gets it before that.

        Raises:
            ValueError: the pool was closed, or is the parent's.
            TypeError: the function cannot be called.
        """
        job = self._job(order, function, items, chunk, wishes, callbacks, most)
        try:
            if begun is not None:
                begun(job)
            self.hand_in(job)
        except BaseException as error:
            job.cancel(error)  # nobody has it
            raise
        return job

    def _complete(self, order, function, items, chunk, wishes):
        """Have a job done and return its value; whatever ends the wait gives it up, as nobody else has it."""
        job = self._job(order, function, items, chunk, wishes)
        try:
            self.hand_in(job)
            job.wait(None)
        except BaseException as error:
            job.cancel(error)
            raise
        return job.value()

    def _job(self, order, function, items, chunk, wishes, callbacks=None, most=None):
        if not callable(function):
            raise TypeError(f"a task must be callable, not {function!r}")
        collector = wished = None
        if wishes is not None:
            wished = named_wishes(wishes)
            collector, wishes = wished.collector, self.crew.granted(wished)
        job: Job
        if order in ("imap", "imap_unordered"):
            job = Stream(self.crew, order, function, items, chunk, wishes, most=most)
        else:
            if not isinstance(items, tuple | range):
                items = list(items)
            job = Whole(self.crew, order, function, items, chunk, wishes, callbacks)
        job.collector, job.number = collector, next(self.crew.numbers)
        if wished is not None:
            job.priority, job.sequence, job.needs = wished.priority, wished.order, wished.needs
        return job


class Crew(_Intake):
    """What works for a pool.

    A crew of its own defines `begin`, `start` and `dismiss`, and what of the rest it does in another way. Jobs are
    computed by whatever threads it likes, by `Whole.deliver`, or `Stream.take` and `Stream.deliver`.

    Args:
        ctx: the context of the pool.
        terms: how many workers there are, what they are given and may use up: see `worker.Terms`.

    Attributes:
        offers: names of what it can do beside calling functions: options of a pool, "timeout" and "retries" of tasks,
            "stats" and "stacks" of workers.
        shares_memory: whether what one of them writes to shared memory the others, and the program, see.
        whole: what it is called in errors.
        processes: its workers, as objects with `name`.
        ended: whether none of them is left.
        closing: whether it takes no more jobs.
        turn: a lock, under which callbacks run, one at a time.
        is_strict: whether what it does not offer is refused; else it is left out.
        numbers: those of its jobs.
        worker: what tasks know as theirs in threads that are no worker.
    """

    offers: frozenset[str] = frozenset()
    shares_memory = True
    whole = "this crew"

    def __init__(self, ctx, terms):
        self.ctx = ctx
        self.terms = terms
        self.processes: list = []
        self.ended = False
        self.closing = False
        self.is_strict = True
        self.turn = threading.RLock()
        self.numbers = itertools.count()
        self.worker = current.Worker(0)
        self._lock = threading.Lock()
        self._jobs: dict = {}
        self._broken = None
        self._dismissed = False
        self._pid = os.getpid()

    @property
    def core(self):
        """Where a pool hands in its jobs: the engine's pool has the same methods."""
        return self

    crew = core

    # -- what each crew defines -------------------------------------------------------------------------------------

    def begin(self):
        """Call the initializer, once; a crew with workers starts them."""
        if self.terms.initializer is not None:
            try:
                with self.as_worker():
                    self.terms.initializer(*self.terms.initargs)
            except Exception as error:
                self.fail(error)

    def as_worker(self):
        """Return what has a thread be the one worker of this crew for a while, unless it is one."""
        return current.As(self.worker)

    def start(self, job):
        """Have a job computed; it has items, unless they are to be taken."""
        raise NotImplementedError

    def dismiss(self):
        """No job is left, and none will come: let the workers go. Called once."""

    def await_end(self, limit):
        """Wait for the workers to end, at most `limit` seconds (None: for ever)."""

    def survey(self):
        """Return what goes on, a `procession.pool.PoolStats`."""
        self.refuse("stats")

    def stacks(self, limit):
        """Return the stacks of the workers as text; wait for them at most `limit` seconds."""
        self.refuse("stacks")

    def accompanied(self, function):
        """Return what is to be sent in the place of a function that is an argument and will be called."""
        return function

    # -- what it can do ---------------------------------------------------------------------------------------------

    @property
    def count(self):
        """How many workers there are to be."""
        return self.terms.count

    def resize(self, count):
        """Have `count` workers from now on."""
        self.refuse("resize")

    def check_offer(self, what):
        """Return whether the crew offers something.

        Raises:
            NotImplementedError: it does not, and is strict.
        """
        if what not in self.offers and self.is_strict:
            self.refuse(what)
        return what in self.offers

    def refuse(self, what):
        """Raise NotImplementedError for what this crew does not offer."""
        raise NotImplementedError(f"{self.whole} has no {what}: leave it out, or use a pool of processes")

    resources = None

    def granted(self, wished):
        """Return what is heeded of the wishes for a job, None for nothing."""
        for name, wish in (("priority", wished.priority), ("resources", wished.needs), ("order", wished.order)):
            if wish:
                self.check_offer(name)
        limit = wished.limit if wished.limit is not None and self.check_offer("timeout") else None
        tries = wished.tries if wished.tries and self.check_offer("retries") else 0
        return None if limit is None and not tries else (limit, tries, wished.retry_on)

    def chunk_of(self, job):
        """Return how many items of a map go together: as many as was said, else four chunks a worker, as documented of
        the standard library."""
        return job.chunk or max(1, -(-len(job.items) // (4 * self.terms.count)))

    # -- the jobs at hand -------------------------------------------------------------------------------------------

    def is_ours(self):
        """Return whether this process has the workers (a forked child has not)."""
        return self._pid == os.getpid()

    @property
    def unusable(self):
        """Whether no job can be computed any more."""
        return self._broken is not None or self.closing

    def hand_in(self, job):
        """Take a job; a crew that is broken fails it at once."""
        if not self.is_ours():
            raise ValueError("Pool not running: its workers stayed behind in the fork, create one here")
        with self._lock:
            broken = self._broken
            if broken is None:
                if self.closing:
                    raise ValueError("Pool not running: it was closed or terminated, make a new one")
                self._jobs[id(job)] = job
        if broken is not None:
            job.settle(False, broken)
        elif isinstance(job, Whole) and not job.items:
            job.settle(True, [])
        else:
            try:
                self.start(job)
            except BaseException as error:
                job.settle(False, error, tell=False)
                raise

    def done(self, job):
        """A job has no outcome missing; the last one of a closing pool lets the workers go."""
        with self._lock:
            self._jobs.pop(id(job), None)
        self._dismiss_if_done()

    def _dismiss_if_done(self):
        with self._lock:
            if not self.closing or self._jobs or self._dismissed:
                return
            self._dismissed = True
        self.dismiss()

    def look(self):
        """Take note of what has happened to workers."""

    def close(self):
        """Let the workers end after the last job, and lazy maps go on without waiting for their reader."""
        if not self.is_ours():
            return
        with self._lock:
            self.closing = True
            jobs = list(self._jobs.values())
        for job in jobs:
            job.supplier.go_on()
        self._dismiss_if_done()

    def forgotten(self):
        """End as nobody has the pool any more, or the program ends."""
        self.terminate()

    def terminate(self):
        """Drop what waits, and fail what has no outcome yet."""
        if self.is_ours():
            self.fail(_terminated(), tell=False)

    def fail(self, error, tell=True):
        """Settle all jobs, and those to come, with `error`, and let the workers go."""
        with self._lock:
            self._broken = error
            self.closing = True
            jobs, self._jobs = list(self._jobs.values()), {}
        for job in jobs:
            job.settle(False, error, tell)
        self._dismiss_if_done()

    def join(self, timeout):
        """Wait for the jobs; `await_end` does."""

    def share(self):
        """Return a desk whose jobs end alone: of one of several users of a pool."""
        return _Share(self)


class _Share(_Intake):
    """A desk of one user of a crew."""

    def __init__(self, crew):
        self.crew = crew
        self._jobs = weakref.WeakSet()
        self._closed = False

    def hand_in(self, job):
        if self._closed:
            raise ValueError("Pool not running: it was closed or terminated, make a new one")
        self._jobs.add(job)
        self.crew.hand_in(job)

    def look(self):
        """Take note of what has happened to workers."""

    def close(self):
        """Take no more jobs."""
        self._closed = True
        for job in list(self._jobs):
            job.supplier.go_on()

    def end(self, why):
        """Fail the jobs without an outcome with what `why` makes."""
        self._closed = True
        for job in list(self._jobs):
            supplier = job.supplier
            if job.settle(False, why(), False):
                supplier.give_up(False)

    def join(self, timeout):
        """Wait for the jobs that were handed in here."""
        for job in list(self._jobs):
            job.finish()
