"""The crew of a pool whose workers are on the nodes of a cluster."""

import itertools
import queue
import threading
from time import monotonic
from types import FunctionType

from procession._cluster import keys
from procession._cluster.agent import here
from procession._cluster.driver import Driver, work_of
from procession._cluster.events import Events
from procession._cluster.packing import is_plain, seal
from procession._cluster.staff import Staff
from procession._cluster.work import is_fixed
from procession._pool.crews import Crew
from procession._pool.jobs import Failure, Stream, Supplier, _slice_of

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["Nodes"]

ANSWER_S = 10.0  # how long nodes may take to tell what goes on
# A lazy map takes so many items at once, if they come quickly; what has come goes after this time.
_MOST_TAKEN, _TAKE_S = 4096, 0.002
_MOST_WAITING = 1 << 14  # items of a lazy map that wait for a node
_LOOK_S = 0.2
# What each node's pool does as one of this machine does; settings of workers are computed here.
_PASSED = {"maxtasksperchild": "max_tasks", "max_age": "max_age", "max_memory": "max_memory"}


class Nodes(Crew):
    """Workers on the nodes of a cluster.

    A subclass is an engine's: it has `make_engine`.
    """

    offers = frozenset(
        ("timeout", "retries", "stats", "stacks", "maxtasksperchild", "max_age", "max_memory", "env", "nice")
        + ("cpu_affinity", "forward_logs", "capture_output", "seed", "seed_globals", "order", "priority", "resources")
    )
    shares_memory = False
    whole = "a pool of a cluster"

    def __init__(self, ctx, terms):
        super().__init__(ctx, terms)
        self._driver: Any = None
        self._count = terms.count
        self.resources = terms.resources
        self._numbers = itertools.count(1)

    def make_engine(self):
        """Return the `engine.Engine`, connected."""
        raise NotImplementedError

    def begin(self):
        """Start a pool on each node, and the thread that drives them.

        Raises:
            OSError: there is no node.
            Exception: none could be started.
        """
        terms = self.terms
        initial = None if terms.initializer is None else seal((terms.initializer, terms.initargs))
        options = {name: getattr(terms, attribute) for name, attribute in _PASSED.items()}
        options["forward_logs"] = terms.forward_logs
        options["capture_output"] = terms.on_line is not None
        if terms.resources is not None:  # each node has them
            options["resources"], options["resource_env"] = terms.resources.counts, terms.resources.shown_in
        program, key = here(), keys.own()

        def terms_for(places):
            settings = [terms.settings.wished(place) for place in places]
            return {
                "count": len(places), "options": options, "settings": settings, "places": places,
                "initializer": initial, "program": program, "key": key,
            }  # fmt: skip

        engine = self.make_engine()
        staff = Staff(engine, terms.count, terms_for)
        driver = Driver(self, engine, staff)
        try:
            engine.watch(lambda: driver.events.put(("wake",)), lambda key: driver.events.put(("gone", key)))
            staff.begin(driver.events.put)
        except BaseException:
            engine.close()
            raise
        self._driver = driver
        driver.start()

    def start(self, job):
        """Have a job worked off by nodes. All of a single call is pickled at once, as it is now."""
        if job.order == "apply":
            job.supplier = _Told(job, self._driver)
            self._driver.events.put(("call", job, *_sealed_call(job)))
            return
        work = work_of(job, next(self._numbers), job.chunk)
        if isinstance(job, Stream):
            job.supplier = supplier = _Source(job, work, self._driver)
            self._driver.events.put(("job", job, work))
            threading.Thread(target=supplier.take, name="ClusterItems", daemon=True).start()
            return
        job.supplier = _Map(job, work, self._driver)
        self._driver.events.put(("job", job, work))

    def done(self, job):
        """A job has no outcome missing."""
        if job.order != "apply" and self._driver is not None:
            self._driver.events.put(("done", job))
        super().done(job)

    @property
    def count(self):
        """How many workers there are to be."""
        return self._count

    def resize(self, count):
        """Have `count` workers from now on, shared out over the nodes that there are."""
        for number in range(count):  # an error of a function of the user's is raised here
            self.terms.settings.wished(number)
        self._count = count
        self._driver.events.put(("resize", count))

    def dismiss(self):
        """Let the nodes go."""
        if self._driver is None:
            self.ended = True
        else:
            self._driver.events.put(("end",))

    def await_end(self, limit):
        """Wait for the nodes' pools to end, at most `limit` seconds (None: for ever)."""
        driver = self._driver
        if driver is None or driver is threading.current_thread():
            return
        until = None if limit is None else monotonic() + limit
        while not driver.over.wait(_slice_of(until)):
            if until is not None and monotonic() >= until:
                return
        self.ended = True

    def hear_line(self, line):
        """Give on a line of output."""
        on_line = self.terms.on_line
        if on_line is not None:
            from procession.pool import OutputLine

            with self.turn:
                on_line(OutputLine(*line))

    # -- what goes on -------------------------------------------------------------------------------------------------

    def survey(self):
        """Return what goes on in all nodes, a `procession.pool.PoolStats`; waits for their answers."""
        from procession._pool.stats import PoolStats

        found = [stats for _, stats in self._ask(ANSWER_S, "stats")]
        workers = sorted((one for stats in found for one in stats.workers), key=lambda worker: worker.place)
        names = ("waiting", "running", "done", "failed", "retried", "deaths")
        sums: Any = {name: sum(getattr(stats, name) for stats in found) for name in names}
        return PoolStats(tuple(workers), memory_limit=next((stats.memory_limit for stats in found), None), **sums)

    def stacks(self, limit):
        """Return the stacks of all workers as text; nodes wait for them at most `limit` seconds."""
        found = self._ask(limit + ANSWER_S, "dump_stacks", limit)
        return "\n".join(f"{name}\n{text}" for name, text in found)

    def _ask(self, limit, method, *arguments):
        """Return what each node answers, as pairs of its name and that; without those that fail or say nothing."""
        if self._driver is None or self._driver.over.is_set():
            raise ValueError("Pool not running: it was closed or terminated, make a new one")
        waiting = Events()
        self._driver.events.put(("ask", waiting, method, arguments))
        until, found, left = monotonic() + limit, [], None
        while left != 0:
            try:
                answer = waiting.get(timeout=_slice_of(until))
            except queue.Empty:
                if monotonic() >= until or self._driver.over.is_set():
                    break
                continue
            if left is None:
                left = answer
                continue
            left -= 1
            if type(answer[1]) is not Failure:
                found.append(answer)
        self._driver.events.put(("answered", waiting))
        return found


def _sealed_call(job):
    """Return what travels for the arguments of a call, or the `Failure` to pickle it, and the pickle of its function,
    None where that can be made later."""
    try:
        args, kwds = job.items[0]
        args = tuple(args)
        given = args if not kwds and is_plain(args) else seal((args, dict(kwds)))
        return given, None if type(job.function) is FunctionType and is_fixed(job.function) else seal(job.function)
    except Exception as error:  # the caller hears of it as of what the call raises
        return Failure(error), None


class _Told(Supplier):
    """Tells the driver that nobody wants the rest of a job."""

    def __init__(self, job, driver):
        super().__init__(job)
        self._driver = driver

    def give_up(self, closes):
        """Nobody wants the rest."""
        self._driver.events.put(("cancelled", self.job, closes))


class _Map(_Told):
    """Knows what runs of a map as the nodes told it last, and has them asked again: who looks again knows more."""

    def __init__(self, job, work, driver):
        super().__init__(job, driver)
        self._work = work

    def tasks(self):
        """Return what is computed, and how many items have an outcome that has not come."""
        self._driver.events.put(("look", self.job))
        tasks, more, now = [], 0, monotonic()
        for node in list(self._driver.crew.processes):
            at, parcels = node.looks.get(self._work.name, (now, ()))
            for parcel, done, running in parcels:
                more += max(0, done - (len(parcel.items) - parcel.left))
                for worker, item, seconds, said in running:
                    if not parcel.is_over[item]:
                        tasks.append((0, worker, parcel.places[item], seconds + now - at, said))
        return tasks, more


class _Source(_Map):
    """Takes the items of a lazy map, in a thread of its own: whatever gives them may take its time."""

    def __init__(self, job, work, driver):
        super().__init__(job, work, driver)
        self._room = threading.Event()

    def take(self):
        """Take items until there are no more, as there is room for them."""
        job, work, events = self.job, self._work, self._driver.events
        step = 1
        while not job.done() and not job.given_up:
            if work.count > _MOST_WAITING or not (room := job.room()):
                self._room.wait(_LOOK_S)
                self._room.clear()
                continue
            began = monotonic()
            try:
                start, items = job.take(max(1, min(step, room) // job.chunk) * job.chunk)
            except BaseException as error:  # of a generator that was closed: nobody can get that
                threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
                return
            if not items:
                return
            events.put(("items", work, start, items))
            # What comes slowly goes on at once.
            step = min(2 * step, _MOST_TAKEN) if monotonic() - began < _TAKE_S else max(1, step // 2)

    def go_on(self):
        """There may be room for more items."""
        self._room.set()

    def give_up(self, closes):
        """Nobody wants the rest."""
        self.job.end(closes)
        self._room.set()

    def let_go(self, asked):
        """The iterator is gone: no lock may be taken."""
        if asked:
            self.job.given_up = True
            self._driver.events.put(("cancelled", self.job, False))
        else:
            self.job.unread = True
