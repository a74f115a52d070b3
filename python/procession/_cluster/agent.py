"""What runs on a node: a pool of its own, which works off what the program sends.

An engine carries two calls here, `post` and `collect`, in any order and any number of times each; both answer at once
or after a limit. What is posted has numbers, and is heeded in their order; what is collected is told again until the
program says that it has come.
"""

import os
import queue
import socket
import threading
from functools import partial
from time import monotonic

from procession import context
from procession._cluster.packing import Message, Raised, apart, seal
from procession._cluster.work import Begin, Call, Failed, Star, Whole
from procession._objects import main_module

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["COLLECT_S", "Agent", "here"]

COLLECT_S = 5.0  # how long `collect` waits for something to tell
SILENT_S = 120.0  # a program that has not collected for so long is gone
_MOST_AT_ONCE = 4096  # outcomes in one piece of news


def here():
    """Return what tells this process from those of all machines."""
    return socket.gethostname(), os.getpid()


class Agent:
    """A pool on this node, on behalf of a program.

    Args:
        terms: a dict: how many workers there are (`count`), the other options of a pool (`options`), the settings of
            each worker (`settings`), the pickle of the initializer and its arguments, or None (`initializer`), and the
            program's process (`program`).
    """

    def __init__(self, terms):
        main_module.hide(terms["program"] != here())
        options = dict(terms["options"])
        if options.pop("capture_output", False):
            options["capture_output"] = partial(self._tell, "line")
        for name in {name for settings in terms["settings"] for name in settings}:
            options[name] = partial(_setting, terms["settings"], name)
        if terms["initializer"] is not None:
            options["initializer"] = Begin(terms["initializer"])
        self._pool = context.get_context("forkserver").Pool(terms["count"], **options)
        self._core = self._pool._core
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._calls: dict = {}  # the functions of jobs
        self._parcels: dict = {}
        self._news = threading.Condition()
        self._untold: list = []
        self._watchers: list = []  # of engines without a thread to wait in
        self._told = (0, None)  # what was collected last, by its number
        self._seen = monotonic()
        self._inbox: dict = {}
        self._next = 0
        self._ended = False
        threading.Thread(target=self._work, name="ClusterAgent", daemon=True).start()

    # -- what the engine carries --------------------------------------------------------------------------------------

    def post(self, number, message):
        """Take a message, the `number`-th one."""
        self._events.put(("post", number, message))

    def take(self, acked):
        """Return what there is to tell, as `(number, message)`, None if there is nothing.

        Args:
            acked: the number of the last that has come.

        Raises:
            RuntimeError: there will be nothing any more, as the pool has ended.
        """
        with self._news:
            self._seen = monotonic()
            number, message = self._told
            if message is not None and number != acked:
                return self._told
            self._told = number, None
            if not self._untold:
                if self._ended:
                    raise RuntimeError("the pool of this node has ended: nobody had asked for long, or it has failed")
                return None
            untold, self._untold = self._untold, []
        told = number + 1, Message.of(untold)
        with self._news:
            self._told = told
        return told

    def collect(self, acked, limit=COLLECT_S):
        """Return what `take` does, once there is something or after `limit` seconds."""
        until = monotonic() + limit
        while (found := self.take(acked)) is None:
            with self._news:
                self._news.wait_for(lambda: self._untold or self._ended, until - monotonic())
                if not self._untold:
                    return None
        return found

    def call_when_news(self, tell):
        """Have `tell` called, once, when there is something to take."""
        with self._news:
            if not self._untold:
                self._watchers = [tell]  # whoever asked before has come to the limit
                return
        tell()

    def stop(self):
        """End the pool; does not wait for that."""
        self._events.put(("stop",))

    def await_end(self, limit):
        """Wait for the end of the pool, at most `limit` seconds."""
        with self._news:
            self._news.wait_for(lambda: self._ended, limit)

    # -- in the agent's thread ----------------------------------------------------------------------------------------

    def _work(self):
        try:
            while True:
                try:
                    event = self._events.get(timeout=SILENT_S / 4)
                except queue.Empty:
                    if monotonic() - self._seen > SILENT_S:
                        return
                    continue
                if event[0] == "stop":
                    return
                if event[0] == "post":
                    self._inbox[event[1]] = event[2]
                    while (message := self._inbox.pop(self._next, None)) is not None:
                        self._next += 1
                        self._heed(message.read())
                else:
                    self._drain(event[1])
        finally:
            self._pool.terminate()
            self._pool.join()
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _heed(self, orders):
        for name, *arguments in orders:
            getattr(self, f"_{name}_ordered")(*arguments)

    def _job_ordered(self, name, function, star, retry_on, title):
        self._calls[name] = (Star if star else Call)(apart(function), retry_on, title)

    def _forget_ordered(self, name):
        self._calls.pop(name, None)

    def _parcel_ordered(self, number, name, items, chunk, wishes):
        """A part of a map: outcomes are told in order."""
        self._map(number, self._calls[name], items, chunk, wishes, ordered=True)

    def _each_ordered(self, number, name, items, chunk, wishes):
        """A part of a map whose outcomes are told as they come, each with its place."""
        self._map(number, self._calls[name].placed(), list(enumerate(items)), chunk, wishes, ordered=False)

    def _map(self, number, call, items, chunk, wishes, ordered):
        parcel = self._parcels[number] = _Parcel(number, len(items), ordered)
        try:
            parcel.job = self._core.imap(call, iter(items), chunk, ordered, None, wishes)
        except Exception as error:
            del self._parcels[number]
            self._tell("outcomes", number, 0, [_raised(error)] * len(items))
            return
        self._drain(number)

    def _calls_ordered(self, number, functions, calls):
        """Several calls."""
        parcel = self._parcels[number] = _Parcel(number, len(calls))
        for place, (function, args, retry_on, wishes, title) in enumerate(calls):
            call = Whole(functions[function], retry_on, title)
            callbacks = partial(self._came, number, place), partial(self._failed, number, place)
            try:
                parcel.handles.append(self._core.apply_async(call, (args,), {}, callbacks, wishes))
            except Exception as error:
                self._failed(number, place, error)

    def _cancel_ordered(self, number, place):
        """Give up a parcel, or one of its calls."""
        parcel = self._parcels.get(number)
        if parcel is None:
            return
        from concurrent.futures import CancelledError

        if place is None:
            del self._parcels[number]
            if parcel.job is not None:
                parcel.job.close()
        for handle in parcel.handles if place is None else parcel.handles[place : place + 1]:
            handle.cancel(CancelledError("the task was cancelled"))

    def _ask_ordered(self, number, method, *arguments):
        """Stacks are waited for elsewhere, so that outcomes go on."""

        def ask():
            try:
                answer = seal(getattr(self._pool, method)(*arguments))
            except Exception as error:
                answer = Raised.by(error)
            self._tell("answer", number, answer)

        threading.Thread(target=ask, name="ClusterAgentAnswer", daemon=True).start()

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def _drain(self, number):
        """Tell what outcomes of a part of a map are there, and come again when there are more."""
        parcel = self._parcels.get(number)
        if parcel is None:
            return
        while True:
            outcomes, is_over, found = [], False, None
            while len(outcomes) < _MOST_AT_ONCE:
                try:
                    found = parcel.job.next(0)
                    if found is None:
                        break
                    outcomes.append(found[0])
                except StopIteration:
                    is_over = True
                    break
                except BaseException as error:
                    outcomes.append(_raised(error))
            self._tell_of(parcel, outcomes, is_over)
            if is_over or parcel.told >= parcel.size:
                self._parcels.pop(number, None)
                return
            if found is None and parcel.job.watch(partial(self._events.put, ("ready", number))):
                return

    def _tell_of(self, parcel, outcomes, is_over):
        """Tell outcomes of a part of a map. Each item has one, whatever became of the pool."""
        for outcome in outcomes:
            if type(outcome) is Raised:
                parcel.last = outcome
        if parcel.ordered:
            if is_over:
                outcomes += [parcel.last or _none()] * (parcel.size - parcel.told - len(outcomes))
            if outcomes:
                self._tell("outcomes", parcel.number, parcel.told, outcomes)
                parcel.told += len(outcomes)
            return
        placed = [_with_place(outcome) for outcome in outcomes]
        parcel.unplaced += [outcome for place, outcome in placed if place is None]
        placed = [(place, outcome) for place, outcome in placed if place is not None]
        parcel.left.difference_update(place for place, _ in placed)
        if is_over or len(parcel.unplaced) >= len(parcel.left):
            # What the pool says of a lost task does not say which one that was: of those left each is one.
            lacking = [parcel.last or _none()] * (len(parcel.left) - len(parcel.unplaced))
            placed += zip(sorted(parcel.left), parcel.unplaced + lacking, strict=False)
            parcel.left.clear()
        if placed:
            self._tell("placed", parcel.number, placed)
            parcel.told += len(placed)

    def _came(self, number, place, value):
        self._tell("outcomes", number, place, [value])
        parcel = self._parcels.get(number)
        if parcel is not None:
            with self._news:
                parcel.told += 1
                if parcel.told == parcel.size:
                    self._parcels.pop(number, None)

    def _failed(self, number, place, error):
        self._came(number, place, _raised(error))

    def _tell(self, *news):
        with self._news:
            self._untold.append(news)
            watchers, self._watchers = self._watchers, []
            self._news.notify_all()
        for tell in watchers:
            tell()


class _Parcel:
    """Some items of a job, as the agent knows them.

    Attributes:
        told: how many outcomes were told.
        last: the last failure.
        job: of a part of a map.
        handles: of single calls.
        left: the places of those without an outcome, of a map that is told as it comes.
        unplaced: failures of which the place is not known.
    """

    def __init__(self, number, size, ordered=True):
        self.number = number
        self.size = size
        self.ordered = ordered
        self.told = 0
        self.last: Raised | None = None
        self.job: Any = None
        self.handles: list = []
        self.left = set() if ordered else set(range(size))
        self.unplaced: list = []


def _with_place(outcome):
    """Return the place of an outcome of a `placed` call, None where that is not known, and the outcome."""
    return outcome if type(outcome) is tuple else (getattr(outcome, "place", None), outcome)


def _none():
    return Raised.by(RuntimeError("the pool of a node gave no outcome for this task"))


def _raised(error):
    """Return what tells of a failure that the pool of this node gave for a task."""
    return error.raised if isinstance(error, Failed) else Raised.by(error)


def _setting(settings, name, place):
    return settings[place].get(name)
