"""Has the jobs of a pool worked off by nodes: one thread, which is told of everything by one queue.

It cuts jobs into parcels, keeps each node's hands full and no fuller, gives outcomes to whoever waits for them, and
sends what was on a lost node elsewhere. What goes where is decided in `flights`.
"""

import queue
import threading
from collections import deque
from time import monotonic

from procession import _exceptions
from procession._cluster.events import Events
from procession._cluster.flights import Calls, Lazy, Node, Ordered, Pace, Work
from procession._cluster.packing import Message, outcome_of, seal
from procession._cluster.work import Again
from procession._pool.jobs import Failure, Stream
from procession._pool.texts import function_name
from procession._pool.wishes import Wishes

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["Driver", "work_of"]

MOST_POSTS = 2  # to a node, on their way
LOOK_S = 1.0
# What is to be let go of that has more bytes is worth a message of its own.
MOST_KEPT_BYTES = 1 << 16
# A node that tells nothing for so long, though it is asked all the time, is lost: it stands still.
FROZEN_S = 60.0
# How long a pool waits for another node when the last one is lost.
NO_NODE_S = 30.0
END_S = 10.0
MOST_PACES = 64  # of functions that are remembered

_USUAL = 0, ()


class Driver(threading.Thread):
    """The thread of a pool of a cluster.

    Args:
        crew: is asked for `fail`, the lock `turn`, and told of lines of output.
        engine: the `engine.Engine`.
        staff: hires agents: see `staff.Staff`.
    """

    def __init__(self, crew, engine, staff):
        super().__init__(name="ClusterDriver", daemon=True)
        self.events = Events()
        self.nodes: dict[Any, Any] = {}
        self.over = threading.Event()
        self.crew = crew
        self._engine = engine
        self._staff = staff
        self._works: deque = deque()  # those that may have something to send, in turn
        self._by_job: dict = {}
        self._calls = {_USUAL: Calls()}  # by their priority and what they hold
        self._numbers = iter(range(1, 1 << 62))
        self._answers: dict = {}
        self._sealed: dict = {}  # functions that calls have in common which have come together
        self._paces: dict = {}  # what was learnt of functions, by the hashes of their pickles
        self._alone_since = None
        self._ends = False

    def run(self):
        """Heed what happens until the pool is to end."""
        try:
            while not self._ends:
                self._await_event()
                self._place()
        except BaseException as error:
            self._ends = True
            self.crew.fail(error)
            raise
        finally:
            self._end()

    def _await_event(self):
        try:
            self._heed(self.events.get(timeout=LOOK_S))
        except queue.Empty:
            pass
        for _ in range(self.events.qsize()):
            self._heed(self.events.get())
        self._sealed.clear()
        self._look(monotonic())

    def _heed(self, event):
        getattr(self, f"_on_{event[0]}")(*event[1:])

    def _look(self, now):
        """See to what nobody tells of."""
        for node in list(self.nodes.values()):
            if node.leaves and not node.flights and not self._answers:
                self._lose(node, "it has left")
            elif now - node.heard_at > FROZEN_S:
                self._lose(node, f"it told nothing for {FROZEN_S:g} seconds")
        self._staff.fill(self.nodes)
        if self.nodes:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since > NO_NODE_S or self._engine.is_over():
            self.crew.fail(_exceptions.NodeLost(f"no node of the pool is left ({self._engine.name})"))

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def _on_job(self, job, work):
        """A job is new. The function of a map is pickled here: the caller does not wait for it."""
        if job.done():
            return
        try:
            wishes, retry_on = _wishes_of(job)
            work.function, work.retry_on, work.wishes = seal(job.function), retry_on, wishes
            work.most = self._most_of(job)
            work.pace = self._pace_of(work.function)
        except BaseException as error:
            job.settle(False, error)
            return
        self._by_job[id(job)] = work
        self._works.append(work)

    def _on_call(self, job, given, function):
        """A single call is new.

        Args:
            given: what travels of its arguments, or the `Failure` to pickle them.
            function: its pickle; None where nothing can have changed it since.
        """
        if job.done():
            return
        try:
            if type(given) is Failure:
                raise given.error
            wishes, retry_on = _wishes_of(job)
            if function is None:
                function = self._sealed_once(job.function)
            key = job.priority, job.needs
            calls = self._calls.get(key) or self._calls.setdefault(key, Calls(job.priority, self._most_of(job)))
            calls.add(job, function, (given, retry_on, wishes, function_name(job.function), job.number))
        except BaseException as error:
            job.settle(False, error)

    def _pace_of(self, function):
        """Return the pace of a new map, which begins with what earlier ones of its function have shown."""
        key = hash(function.data)
        pace = Pace(self._paces.pop(key, None))
        self._paces[key] = pace  # as the last one
        if len(self._paces) > MOST_PACES:
            del self._paces[next(iter(self._paces))]
        return pace

    def _most_of(self, job):
        """Return how many tasks of a job a node can run at once, by what they hold, None for any number."""
        return self.crew.resources.most_of(job.needs) if job.needs else None

    def _sealed_once(self, function):
        """Return the pickle of a function, made once for all calls that have come together."""
        known = self._sealed.get(function)
        if known is None:
            known = self._sealed[function] = seal(function)
        return known

    def _on_items(self, work, start, items):
        """A lazy map has more items."""
        work.add(start, items)

    def _on_wake(self):
        """Something has changed: `run` looks at everything."""

    def _on_cancelled(self, job, closes):
        """Nobody wants the rest of a job."""
        job.end(closes)
        self._on_done(job)

    def _on_done(self, job):
        """A job has ended, with all its outcomes or without."""
        work = self._by_job.pop(id(job), None)
        if work is not None:
            self._works.remove(work)
        for node in self.nodes.values():
            for number, parcel in list(node.flights.items()):
                if work is not None and parcel.work is work:
                    del node.flights[number]
                    node.orders.append(("cancel", number, None))
                elif work is None and parcel.work.kind == "calls" and job in parcel.places:
                    place = parcel.places.index(job)
                    if not parcel.is_over[place]:
                        node.orders.append(("cancel", number, place))
            if work is not None and work.name in node.told:
                node.told.discard(work.name)
                node.asked.discard(work.name)
                node.looks.pop(work.name, None)
                orders = node.orders if work.function.nbytes() > MOST_KEPT_BYTES else node.later
                orders.append(("forget", work.name))

    # -- to the nodes -------------------------------------------------------------------------------------------------

    def _place(self):
        """Send each node what it has room for."""
        staying = [node for node in self.nodes.values() if not node.leaves]
        ready = [node for node in staying if node.posting < MOST_POSTS]
        self._works.rotate(-1)
        works = self._in_turn()
        for ahead in (False, True):
            for node in sorted(ready, key=Node.load):
                for work in works:
                    if node.is_taken(work) and not all(other.is_taken(work) for other in staying):
                        continue  # others' items may take long, and a node without them has room sooner or later
                    while node.has_room():
                        parcel = work.next_parcel(node, len(staying), ahead)
                        if parcel is None:
                            break
                        self._load(node, parcel)
        for node in self.nodes.values():
            if node.orders and node.posting < MOST_POSTS:
                orders, node.later, node.orders = [*node.later, *node.orders], [], []
                self._post(node, orders)

    def _in_turn(self):
        """Return what there may be something to send of, the most urgent first."""
        if len(self._calls) > 1:
            self._forget_calls()
        works = [*self._calls.values(), *self._works]
        if len(self._calls) > 1 or any(work.priority for work in self._works):
            now = monotonic()
            works = sorted((work for work in works if not work.is_empty()), key=lambda work: -work.urgency(now))
        return works

    def _forget_calls(self):
        """Let go of kinds of calls of which none is here, nor at a node, from which they may come back."""
        out = {id(parcel.work) for node in self.nodes.values() for parcel in node.flights.values()}
        for key, calls in list(self._calls.items()):
            if key != _USUAL and calls.is_empty() and id(calls) not in out:
                del self._calls[key]

    def _load(self, node, parcel):
        work = parcel.work
        work.served_at = parcel.posted = monotonic()
        for place, error in parcel.failed.items():
            self._deliver(work, [place], [Failure(error)])
        if not parcel.items:
            return
        parcel.number = number = next(self._numbers)
        node.flights[number] = parcel
        if work.kind == "calls":
            functions = list({id(one[0]): one[0] for one in parcel.items}.values())
            numbers = {id(function): number for number, function in enumerate(functions)}
            calls = [(numbers[id(function)], *call) for function, call in parcel.items]
            node.orders.append(("calls", number, functions, calls))
            return
        if work.name not in node.told:
            node.told.add(work.name)
            star, title = work.job.order == "starmap", function_name(work.job.function)
            node.orders.append(("job", work.name, work.function, star, work.retry_on, title))
        chunk = work.chunk_for(parcel, node)
        node.orders.append((work.kind, number, work.name, parcel.places, parcel.items, chunk, work.wishes, work.hold))

    def _post(self, node, orders):
        number, node.posts = node.posts, node.posts + 1
        node.posting += 1
        message = Message.of(orders)
        self._engine.post(node.handle, number, message, lambda error: self.events.put(("posted", node, error)))

    def _on_posted(self, node, error):
        node.posting -= 1
        if error is not None:
            self._lose(node, error)

    def _collect(self, node):
        def done(found, error):
            self.events.put(("collected", node, found, error))

        self._engine.collect(node.handle, node.heard, done)

    # -- from the nodes -----------------------------------------------------------------------------------------------

    def _on_collected(self, node, found, error):
        if not self._has(node):
            return
        if error is not None:
            self._lose(node, error)
            return
        node.heard_at = monotonic()
        news = []
        if found is not None and found[0] > node.heard:
            node.heard, news = found[0], found[1].read()
        self._collect(node)
        for name, *arguments in news:
            getattr(self, f"_told_{name}")(node, *arguments)

    def _told_outcomes(self, node, number, start, outcomes):
        parcel = node.flights.get(number)
        if parcel is None:  # which was given up
            return
        places = parcel.take(start, len(outcomes))
        if not parcel.left:
            del node.flights[number]
            self._learn(parcel, node)
        self._deliver(parcel.work, places, [outcome_of(outcome, Failure) for outcome in outcomes])

    def _told_placed(self, node, number, placed):
        parcel = node.flights.get(number)
        if parcel is None:
            return
        for start, outcome in placed:
            self._deliver(parcel.work, parcel.take(start, 1), [outcome_of(outcome, Failure)])
        if not parcel.left:
            del node.flights[number]
            self._learn(parcel, node)

    def _learn(self, parcel, node):
        work, now = parcel.work, monotonic()
        began = max(parcel.posted, work.finished.get(node.key, 0.0))
        work.finished[node.key] = now
        work.pace.learn(len(parcel.items), now - began, node.workers)

    def _deliver(self, work, places, outcomes):
        if work.kind == "calls":
            for job, outcome in zip(places, outcomes, strict=True):
                job.deliver(0, [outcome])
        elif isinstance(places, range):
            work.job.deliver(places[0], outcomes)
        else:
            for place, outcome in zip(places, outcomes, strict=True):
                work.job.deliver(place, [outcome])

    def _on_look(self, job):
        """Somebody wants to know what runs of a map: ask the nodes that have something of it."""
        work = self._by_job.get(id(job))
        for node in self.nodes.values():
            if work is not None and work.name in node.told and work.name not in node.asked:
                node.asked.add(work.name)
                node.orders.append(("look", work.name))

    def _told_running(self, node, name, parcels):
        if name not in node.asked:
            return
        node.asked.discard(name)
        known = [(node.flights.get(number), *told) for number, *told in parcels]
        node.looks[name] = monotonic(), [one for one in known if one[0] is not None]

    def _told_retried(self, node, number, times):
        parcel = node.flights.get(number)
        if parcel is not None:
            parcel.work.job.retried += times

    def _told_line(self, node, line):
        self.crew.hear_line(line)

    def _told_answer(self, node, number, answer):
        waiting = self._answers.get(number)
        if waiting is not None:
            waiting.put((node.name, outcome_of(answer, Failure)))

    def _on_ask(self, waiting, method, arguments):
        """Ask all nodes; `waiting`, a queue, gets how many that are, then pairs of a node's name and its answer."""
        number = next(self._numbers)
        self._answers[number] = waiting
        waiting.put(len(self.nodes))
        for node in self.nodes.values():
            node.orders.append(("ask", number, method, *arguments))

    def _on_answered(self, waiting):
        self._answers = {number: other for number, other in self._answers.items() if other is not waiting}

    # -- nodes come and go --------------------------------------------------------------------------------------------

    def _on_hired(self, place, workers, handle, error):
        """An agent has started, or could not be."""
        if error is not None:
            return
        node = Node(place.key, workers, handle, monotonic())
        if place.key in self.nodes:
            self._staff.lost(node)
            return
        self.nodes[place.key] = node
        self.crew.processes.append(node)
        self._collect(node)

    def _on_resize(self, count):
        """The pool is to have so many workers."""
        self._staff.resize(count)

    def _on_share(self, key, workers):
        """A node is to have so many workers; with none its agent leaves when it has done what it has."""
        node = self.nodes.get(key)
        if node is None:
            return
        node.leaves = workers == 0
        if workers not in (0, node.workers):
            seats = self._staff.change(node, workers)
            node.workers = workers
            node.orders.append(("resize", workers, seats, self._staff.terms_of(seats)["settings"]))

    def _on_gone(self, key):
        """The engine says that a node is lost."""
        node = self.nodes.get(key)
        if node is not None:
            self._lose(node, "the cluster has lost it")

    def _has(self, node):
        return self.nodes.get(node.key) is node

    def _lose(self, node, why):
        """Take a node for lost: what it had goes elsewhere, or fails when it was lost too often."""
        if not self._has(node):
            return
        del self.nodes[node.key]
        self.crew.processes.remove(node)
        self._staff.lost(node)
        for parcel in node.flights.values():
            again, given_up = parcel.rest()
            parcel.work.again.extend(again)
            if given_up:
                text = f"{node.name} was lost while it had this task, as others before: {why}"
                error = _exceptions.NodeLost(text)
                error.__cause__ = why if isinstance(why, BaseException) else None
                self._deliver(parcel.work, given_up, [Failure(error)] * len(given_up))
        node.flights.clear()

    # -- the end ------------------------------------------------------------------------------------------------------

    def _on_end(self):
        self._ends = True

    def _end(self):
        self.nodes.clear()
        self._staff.end(END_S)
        self._engine.close()
        self.over.set()


def _wishes_of(job):
    """Return what a node's pool is to heed for the tasks of a job, and the pickle of what they are tried again for."""
    limit, tries, classes = job.wishes or (None, 0, None)
    retry_on = seal(classes) if tries and classes else None
    again = None if retry_on is None else (Again,)
    if job.priority or job.needs:
        return Wishes(limit, tries, again, priority=job.priority, needs=job.needs), retry_on
    return (None if job.wishes is None else (limit, tries, again)), retry_on


def work_of(job, number, chunk):
    """Return the items of a map, of which parts are cut for the nodes."""
    kind = Lazy if isinstance(job, Stream) else Work if job.sequence is None else Ordered
    return kind(number, job, chunk, job.priority)
