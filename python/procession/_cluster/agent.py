"""What runs on a node: a pool of its own, which works off what the program sends."""

import os
import socket
import threading
from dataclasses import replace
from functools import partial
from time import monotonic

from procession import context
from procession._cluster.mailbox import COLLECT_S as COLLECT_S, Mailbox
from procession._cluster.packing import Raised, apart, seal
from procession._cluster.work import Begin, Call, Failed, Star, Whole
from procession._objects import main_module
from procession._pool.stats import PoolStats

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["COLLECT_S", "Agent", "here"]

_MOST_AT_ONCE = 4096  # outcomes in one piece of news


def here():
    """Return what tells this process from those of all machines."""
    return socket.gethostname(), os.getpid()


class Agent(Mailbox):
    """A pool on this node, on behalf of a program.

    Args:
        terms: a dict: how many workers there are (`count`), the other options of a pool (`options`), the settings of
            each worker (`settings`) and which of the program's pool it is (`places`), the pickle of the initializer and
            its arguments, or None (`initializer`), the program's process (`program`) and its `keys.Key` (`key`).
    """

    def __init__(self, terms):
        super().__init__()
        main_module.hide(terms["program"] != here())
        options = dict(terms["options"])
        if options.pop("capture_output", False):
            options["capture_output"] = partial(self._tell, "line")
        for name in {name for settings in terms["settings"] for name in settings}:
            options[name] = partial(_setting, terms["settings"], name)
        options["initializer"] = Begin(terms["initializer"], terms["key"], terms["places"])
        self._pool = context.get_context("forkserver").Pool(terms["count"], **options)
        self._core = self._pool._core
        self._places, self._settings = terms["places"], terms["settings"]
        self._calls: dict = {}  # the functions of jobs
        self._parcels: dict = {}
        self._held: dict = {}  # the parts of maps with outcomes that are not told yet, by number
        self.begin()

    # -- in the agent's thread ----------------------------------------------------------------------------------------

    def _hear(self, event):
        self._drain(event[1])

    def _patience(self):
        return min((parcel.hold for parcel in self._held.values()), default=super()._patience())

    def _tell_held(self):
        now = monotonic() if self._held else 0.0
        for parcel in list(self._held.values()):
            if now - parcel.told_at >= parcel.hold:
                self._tell_of(parcel, False)

    def _finish(self):
        self._pool.terminate()
        self._pool.join()

    def _job_ordered(self, name, function, star, retry_on, title):
        self._calls[name] = Star if star else Call, apart(function), retry_on, title

    def _forget_ordered(self, name):
        self._calls.pop(name, None)

    def _parcel_ordered(self, number, name, places, items, chunk, wishes, hold):
        """A part of a map: outcomes are told in order, the last one at once, others after at most `hold` seconds, as
        each news costs an engine much."""
        self._map(_Parcel(number, len(items), True, name, hold), self._call(name, places), items, chunk, wishes)

    def _each_ordered(self, number, name, places, items, chunk, wishes, hold):
        """A part of a map whose outcomes are told as they come, each with its place in it."""
        call = self._call(name, places).placed()
        self._map(_Parcel(number, len(items), False, name, hold), call, list(enumerate(items)), chunk, wishes)

    def _call(self, name, places):
        kind, *function = self._calls[name]
        return kind(*function, places)

    def _map(self, parcel, call, items, chunk, wishes):
        self._parcels[parcel.number] = parcel
        try:
            parcel.job = self._core.imap(call, iter(items), chunk, parcel.ordered, None, wishes)
        except Exception as error:
            del self._parcels[parcel.number]
            self._tell("outcomes", parcel.number, 0, [_raised(error)] * len(items))
            return
        self._drain(parcel.number)

    def _calls_ordered(self, number, functions, calls):
        """Several calls."""
        parcel = self._parcels[number] = _Parcel(number, len(calls))
        for place, (function, args, retry_on, wishes, title, call_number) in enumerate(calls):
            call = Whole(functions[function], retry_on, title, (call_number,))
            callbacks = partial(self._came, number, place), partial(self._failed, number, place)
            try:
                parcel.handles.append(self._core.apply_async(call, (args,), {}, callbacks, wishes))
            except Exception as error:
                self._failed(number, place, error)

    def _look_ordered(self, name):
        """Tell what runs of a map: of each part how many items have an outcome here, and its tasks."""
        parcels = []
        for number, parcel in list(self._parcels.items()):
            if parcel.name == name and parcel.job is not None:
                _, done, _, _, running = parcel.job.progress()
                tasks = [(self._places[place], *task) for _, place, *task in running]
                parcels.append((number, done, tasks))
        self._tell("running", name, parcels)

    def _cancel_ordered(self, number, place):
        """Give up a parcel, or one of its calls."""
        parcel = self._parcels.get(number)
        if parcel is None:
            return
        from concurrent.futures import CancelledError

        if place is None:
            del self._parcels[number]
            self._held.pop(number, None)
            if parcel.job is not None:
                parcel.job.close()
        for handle in parcel.handles if place is None else parcel.handles[place : place + 1]:
            handle.cancel(CancelledError("the task was cancelled"))

    def _resize_ordered(self, workers, places, settings):
        """Have so many workers; `places` and `settings` are those of them, and of more that there once were."""
        self._places[:] = places  # which those that start from now on are told of
        self._settings[:] = settings
        try:
            self._pool.resize(workers)
        except (OSError, ValueError):  # no more could be started, or the pool is broken: it says so for each task
            pass

    def _ask_ordered(self, number, method, *arguments):
        """Stacks are waited for elsewhere, so that outcomes go on."""

        def ask():
            try:
                answer = seal(self._known(getattr(self._pool, method)(*arguments)))
            except Exception as error:
                answer = Raised.by(error)
            self._tell("answer", number, answer)

        threading.Thread(target=ask, name="ClusterAgentAnswer", daemon=True).start()

    def _known(self, answer):
        """Return an answer with the workers that the program knows."""
        if not isinstance(answer, PoolStats):
            return answer
        workers = [replace(worker, place=self._places[worker.place]) for worker in answer.workers]
        return replace(answer, workers=tuple(workers))

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def _drain(self, number):
        """Tell what outcomes of a part of a map are there, and come again when there are more."""
        parcel = self._parcels.get(number)
        if parcel is None:
            return
        outcomes = parcel.untold
        while True:
            is_over, found = False, None
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
            is_last = is_over or parcel.told + len(outcomes) >= parcel.size
            if is_last and (retried := parcel.job.progress()[3]):
                self._tell("retried", parcel.number, retried)  # before the program forgets the part
            if is_last or found is not None or monotonic() - parcel.told_at >= parcel.hold:
                self._tell_of(parcel, is_over)
            elif outcomes:
                self._held[number] = parcel
            if is_over or parcel.told >= parcel.size:
                self._parcels.pop(number, None)
                return
            if found is None and parcel.job.watch(partial(self._events.put, ("ready", number))):
                return

    def _tell_of(self, parcel, is_over):
        """Tell outcomes of a part of a map. Each item has one, whatever became of the pool."""
        self._held.pop(parcel.number, None)
        parcel.told_at = monotonic()
        outcomes = parcel.untold[:]
        parcel.untold.clear()
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


class _Parcel:
    """Some items of a job, as the agent knows them.

    Attributes:
        told: how many outcomes were told, the last ones at the time `told_at`.
        untold: outcomes of a part of a map that are to be told with the next ones, after `hold` seconds at most.
        last: the last failure.
        job: of a part of a map, and `name` is that of the map.
        handles: of single calls.
        left: the places of those without an outcome, of a map that is told as it comes.
        unplaced: failures of which the place is not known.
    """

    def __init__(self, number, size, ordered=True, name=None, hold=0.0):
        self.number = number
        self.size = size
        self.ordered = ordered
        self.name = name
        self.hold = hold
        self.told = 0
        self.told_at = monotonic()
        self.untold: list = []
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
