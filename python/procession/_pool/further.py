"""The further options of a pool's methods, beside a limit of time and tries: which there are, and a call while they
change it. A method that is given none never comes here.
"""

import sys
import threading
from itertools import starmap

from procession._pool import wishes
from procession._pool.crew import stay_at_exit
from procession._pool.current import as_informed
from procession._pool.results import ApplyResult, IMapIterator, IMapUnorderedIterator, MapResult
from procession._pool.worker import Terms
from procession._procession import PoolCore

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["OPTIONS", "Around", "Call", "defaults"]

# The module of each option, or a class in one, in the order in which they take hold of a call: its `take(call, value)`
# checks the value and changes the call. What has `check(value)` as well lets `Pool` take the option, for all of its
# calls, whose value is then what that returns unless it is None.
OPTIONS: dict[str, str] = {
    "seed": "procession._pool.seeded",
    "seed_globals": "procession._pool.seeded:Everywhere",
    "resume": "procession._pool.resume",
    "on_mismatch": "procession._pool.resume:OnMismatch",
    "fsync": "procession._pool.resume:Fsync",
    "on_error": "procession._pool.failed",
    "first_error": "procession._pool.failed:FirstError",
    "priority": "procession._pool.priority",
    "resources": "procession._pool.resources",
    "cost": "procession._pool.cost",
    "order": "procession._pool.ordering",
    "progress": "procession._progress.option",
    "context": "procession._pool.context_vars",
    "tracing": "procession._pool.tracing",
}

_ANSWERS: "dict[str, Any]" = {
    "apply": ApplyResult,
    "map": MapResult,
    "starmap": MapResult,
    "imap": IMapIterator,
    "imap_unordered": IMapUnorderedIterator,
}


class Call:
    """One call of a method of a pool, which options change before it is handed in.

    Attributes:
        pool: the `Pool`.
        order: "apply", "map", "starmap", "imap" or "imap_unordered".
        function: what is called.
        items: for "apply" a pair of positional and named arguments, else an iterable.
        wishes: what `_checks.wishes` gives, or None.
        chunk: how many items go together, or None.
        most: how many items may be ahead of the reader of a lazy map, or None.
        callbacks: a pair for value and exception, or None; an executor has its results by them.
        waits: whether the method waits for the value and returns it.
        options: the options that were asked for, by name.
        begun: functions that get the job as soon as there is one; of a crew that computes in the caller, before that.
        ended: functions that are called if an option was refused, or the call ended while it was handed in.
        around: functions that get the job, or what the one before made of it, and return what is to stand in its
            place: an `Around`.
        values: functions that get the list of results of a map, or what the one before made of it, and return what is
            to be given in its place.
        is_over: whether a map has no items left to run, but results.
    """

    is_over = False

    def __init__(self, pool, order, function, items, wishes, *, chunk=None, most=None, callbacks=None, waits=True):
        self.pool = pool
        self.order = order
        self.function = function
        self.items = items
        self.wishes = wishes
        self.chunk = chunk
        self.most = most
        self.callbacks = callbacks
        self.waits = waits
        self.options = {}
        self.begun = []
        self.ended = []
        self.around = []
        self.values = []

    def run(self, options):
        """Have the options change the call, hand it in, and return what the method returns.

        Raises:
            TypeError: there is no such option.
        """
        if unknown := [name for name in options if name not in OPTIONS]:
            raise TypeError(f"{self.order}() got an unexpected keyword argument {unknown[0]!r}")
        if Terms.further:  # what all pools have
            options = {**Terms.further, **options}
        self.options = options
        held: list = []  # the job, as soon as there is one: whatever interrupts this from then on gives it up
        try:
            for name, module in OPTIONS.items():
                if name in options:
                    _loaded(module).take(self, options[name])
            if self.values:
                self._change_values()
            self._hand_in(held)
        except BaseException as error:
            if held:
                held[0].cancel(error)
            for end in self.ended:
                end()
            if isinstance(error, Exception):
                stay_at_exit(error)
            raise
        job = held[0]
        try:
            for wrap in self.around:
                job = wrap(job)
            answer = _ANSWERS[self.order](self.pool, job)
            if self.is_over and self.callbacks:
                self.callbacks[0]([])  # which nobody calls where nothing runs
            return answer.get() if self.waits else answer
        except BaseException as error:
            job.cancel(error)  # nobody else has it; one that is done stays as it is
            raise

    def _change_values(self):
        change = _Changed(self.values)
        self.around.append(lambda job: _Valued(job, change))
        if self.callbacks:
            callback, error_callback = self.callbacks
            self.callbacks = (
                lambda values: change(values) if callback is None else callback(change(values)),
                error_callback,
            )

    def inform(self, seed=None, places=None):
        """Have the function bring along what its tasks are to know: see `informed.Informed`."""
        from procession._pool import informed

        self.function = informed.informed(self.function, seed, places)

    def place_of(self, item):
        """Return the place that an item has in the whole map, of which it may be that only a part is run."""
        informed = as_informed(self.function)
        return item if informed is None else informed.of(item)[0]

    def collect(self, told=None, failed=None, by_time=None):
        """Have outcomes told of: see `jobs.Job`. What is None stays as it is."""
        before = wishes.of(self.wishes).collector or wishes.Collector()
        by_time = before.by_time if by_time is None else by_time
        wishes.change(self, collector=wishes.Collector(told or before.told, failed or before.failed, by_time))

    def _hand_in(self, held):
        core = self.pool._core
        given: tuple[Any, ...]
        if self.order == "apply":
            args, kwds = self.items
            method = core.apply_async
            given = self.function, args, kwds, self.callbacks, self.wishes
        elif self.order in ("map", "starmap"):
            is_star = self.order == "starmap"
            # A caller that waits needs no thread for it.
            begun = self._tell if self.waits or not isinstance(core, PoolCore) else None
            method = core.map_async
            given = self.function, self.items, self.chunk, is_star, self.callbacks, self.wishes, begun
        else:
            ordered = self.order == "imap"
            method = core.imap
            given = self.function, iter(self.items), self.chunk, ordered, self.most, self.wishes
        # Compiled code calls it and notes what it returns: between the two no handler of a signal can raise.
        held.extend(starmap(method, [given]))
        if not held:
            raise RuntimeError(f"{self.order}() raised StopIteration")

    def _tell(self, job):
        for tell in self.begun:
            tell(job)


class Around:
    """Stands in the place of a job, and does what it does but for what a class of its own changes.

    Args:
        job: what the engine, or a crew, made of a call; or another of these.
    """

    def __init__(self, job):
        self.job = job

    def __getattr__(self, name):
        return getattr(self.job, name)


class _Changed:
    """What is made of the results of a map, once."""

    def __init__(self, functions):
        self._functions = functions
        self._lock = threading.Lock()
        self._given = None

    def __call__(self, values):
        with self._lock:
            if self._given is None:
                for function in self._functions:
                    values = function(values)
                self._given = (values,)
            return self._given[0]


class _Valued(Around):
    """A map whose results are changed."""

    def __init__(self, job, change):
        super().__init__(job)
        self._change = change

    def value(self):
        return self._change(self.job.value())


def defaults(options):
    """Return the options that `Pool` was given for all of its calls, checked.

    Raises:
        TypeError: one of them is none, or is not for a whole pool.
        TypeError, ValueError: a value makes no sense.
    """
    for name, value in list(options.items()):
        check = getattr(_loaded(OPTIONS[name]), "check", None) if name in OPTIONS else None
        if check is None:
            raise TypeError(f"Pool() got an unexpected keyword argument {name!r}")
        kept = check(value)
        if kept is not None:
            options[name] = kept
    return options


def _loaded(row):
    module, _, name = row.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name) if name else sys.modules[module]
