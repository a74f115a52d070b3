"""What a worker of a pool runs."""

import _signal  # without the enums of `signal`
import _thread
import os
import sys

from procession import process
from procession._children import child, ending, math_threads
from procession._objects import failures  # there may be no descriptor left to load it with when it is needed
from procession._pool import log_records, stacks, texts
from procession._procession import WorkerCore, heed_own_interrupts, offer_to_oom_killer

TYPE_CHECKING = False  # what checkers take for true
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession._pool.options import WorkerSettings
    from procession._pool.output import OutputLine
    from procession._pool.resources import Resources
    from procession._pool.size import Elastic

__all__ = ["INTERRUPT", "Seat", "Terms", "work"]

# Tells a worker to look whether the task that it runs is to be given up.
INTERRUPT = _signal.SIGRTMIN + 7
# By how much a worker is more eligible to be ended when the system has no memory left, of 1000: it can be replaced.
OOM_SCORE = 200


class Terms:
    """What the workers of a pool are given, and how much of it; checked by `_checks`.

    Attributes:
        initializer: what each worker calls first, or None.
        initargs: its arguments.
        max_tasks: after how many tasks a worker is replaced, or None.
        max_memory: how many bytes of memory it may have, or None.
        max_age: after how many seconds it is replaced, or None.
        expected: what the initializer reads, a `variables.Expected`, or None.
        count: how many workers there are; this and what follows stays with their parent.
        settings: what each is given of its own, an `options.WorkerSettings`.
        forward_logs: whether their log records and warnings go to their parent.
        on_line: is called with each line of their output; None leaves that to where the parent writes.
        crew: the name of who works, or None.
        finalizer: what each worker calls last, or None; they are told of it.
        elastic: by what the number of workers follows the load, a `size.Elastic`, or None.
        resources: units that tasks may hold, a `resources.Resources`, or None.
        further: options of all calls, see `further.OPTIONS`; where there are none of its own, those of all pools.
    """

    expected = None
    count = 1
    settings: "WorkerSettings | None" = None
    forward_logs = True
    on_line: "Callable[[OutputLine], object] | None" = None
    crew: str | None = None
    finalizer: "Callable[[], object] | None" = None
    elastic: "Elastic | None" = None
    resources: "Resources | None" = None
    further: "dict[str, Any]" = {}  # one object, which stands in each pool

    def __init__(self, initializer=None, initargs=(), max_tasks=None, max_memory=None, max_age=None):
        self.initializer = initializer
        self.initargs = initargs
        self.max_tasks = max_tasks
        self.max_memory = max_memory
        self.max_age = max_age

    def asked(self):
        """Return the names of options that not every crew has."""
        wanted = {
            "maxtasksperchild": self.max_tasks is not None,
            "max_memory": self.max_memory is not None,
            "max_age": self.max_age is not None,
            "forward_logs": not self.forward_logs,
            "capture_output": self.on_line is not None,
            "min_workers": self.elastic is not None,
            "finalizer": self.finalizer is not None,
            "resources": self.resources is not None,
        }
        settings = [] if self.settings is None else self.settings.names()
        return [name for name, is_wanted in wanted.items() if is_wanted] + settings

    def __getstate__(self):
        state = self.initializer, self.initargs, self.max_tasks, self.max_memory, self.expected, self.finalizer
        return *state, self.resources

    def __setstate__(self, state):
        *state, self.resources = state
        self.initializer, self.initargs, self.max_tasks, self.max_memory, self.expected, self.finalizer = state


class Seat:
    """A worker's place in its pool: an index and three descriptors, which travel to the worker when it is started."""

    notes = None  # the descriptor for log records, which workers share, and the levels of the parent's loggers
    limited = False  # whether numerical libraries had as few threads as they should when the worker was forked
    output = None  # the descriptors of its pipes for output and what `output.speak` wants to know
    place = 0  # which worker of the pool it is

    def __init__(self, index, *descriptors):
        self.index = index
        self.descriptors = descriptors

    def __getstate__(self):
        process.assert_spawning(self)
        child = process.get_spawning_popen()
        notes, levels = self.notes or (None, None)
        pipes, *speaking = self.output or ((),)
        descriptors = [*self.descriptors, *pipes] + ([] if notes is None else [notes])
        return self.index, self.place, [child.duplicate_for_child(fd) for fd in descriptors], levels, speaking

    def __setstate__(self, state):
        self.index, self.place, descriptors, levels, speaking = state
        self.descriptors, rest = descriptors[:3], descriptors[3:]
        if speaking:
            self.output = rest[:2], *speaking
            rest = rest[2:]
        if rest:
            self.notes = rest[0], levels

    def take(self):
        """Return the engine's end of the seat, which owns the descriptors from now on."""
        return WorkerCore(self.index, *(*self.descriptors, Portable))

    def close(self):
        """Close the descriptors: the parent's copies, once the worker has its own."""
        for fd in self.descriptors:
            os.close(fd)


class Portable:
    """Makes bytes of failures for the engine, which asks for them when something fails."""

    @staticmethod
    def failure(error, of_initializer=False):
        """Return the bytes of an exception."""
        return failures.failure(error, None, of_initializer)

    @staticmethod
    def speak(pid, out, err):
        """Have what tasks write go to the pipes of the process that waits for it."""
        from procession._pool import speaking

        speaking.speak(pid, out, err)

    @staticmethod
    def hush():
        """Have it go where it went before."""
        sys.modules["procession._pool.speaking"].hush()

    @staticmethod
    def arguments(kind, item):
        """Return what an item is given, in short, for those who look at this worker from outside."""
        return texts.given(kind, item)

    resources: "Resources | None" = None  # of the worker's pool

    @classmethod
    def granted(cls, units):
        """The tasks that come hold these units of the pool's resources."""
        if cls.resources is not None:
            cls.resources.hold(units)

    @staticmethod
    def unsendable(error, value):
        """Return the bytes of the exception for a result that cannot be sent."""
        return failures.unsendable(error, value)


def work(seat, terms):
    """Run tasks until the pool is closed or as many are done as `terms` allow."""
    _signal.signal(_signal.SIGINT, child.go_on)
    child.leave_termination()
    core = seat.take()
    stacks.listen(core.report())
    offer_to_oom_killer(OOM_SCORE)
    if not seat.limited:
        math_threads.limit_loaded()
    interrupts = core.interrupts()
    _signal.signal(INTERRUPT, interrupts.give_up)
    _signal.signal(_signal.SIGINT, interrupts.interrupt)
    heed_own_interrupts()
    if seat.notes is not None:
        descriptor, levels = seat.notes
        log_records.forward(descriptor, core.line(), core.current, interrupts, levels)
    if seat.output is not None:
        from procession._pool import output

        output.speak(*(*seat.output, core, interrupts))
    if terms.expected is not None:
        from procession._objects import variables

        variables.compare(terms.expected)
    if terms.resources is not None:
        Portable.resources = terms.resources
        terms.resources.begin()
    _note_makers(core.current, interrupts)
    global _place
    _place = seat.place
    settings = sys.modules.get("procession._settings")
    if settings is not None and settings.refused:
        core.init_failed(Portable.failure(settings.refusal()))
        return
    try:
        if terms.initializer is not None:
            try:
                terms.initializer(*terms.initargs)
            except BaseException as error:
                core.init_failed(Portable.failure(error, True))
                return
        core.run(terms.max_tasks or 0, terms.max_memory)
        finish(terms.finalizer)
    finally:
        _bound_threads()


def finish(finalizer):
    """Call what a worker calls last; what it raises is told of, and ends nothing."""
    if finalizer is not None:
        try:
            finalizer()
        except Exception:
            sys.excepthook(*sys.exc_info())


# In a worker: which of its pool it is.
_place = 0
# In a worker: the function that is called, what knows which item runs, the thread that tasks run in, and the process.
# What is forked from that has a copy, which knows of nothing.
_tasks: tuple | None = None


def _note_makers(current, interrupts):
    """Have each thread that is started know which task has done so, should it not end: see `left_threads`."""
    global _tasks
    forked_in_worker, _tasks = _tasks is not None, (current, interrupts, _thread.get_ident(), os.getpid())
    if forked_in_worker:
        return
    threading = sys.modules.get("threading")
    # Where `threading` will find it, or has it already.
    home, begins = (_thread, "") if threading is None else (threading, "_")
    name = f"{begins}start_joinable_thread"
    if not hasattr(home, name):
        name = f"{begins}start_new_thread"
    begin = getattr(home, name)

    def begin_noted(function, *args, **kwargs):
        thread = getattr(function, "__self__", None)
        threading = sys.modules.get("threading")
        if threading is not None and isinstance(thread, threading.Thread):
            current, interrupts, main, pid = _tasks
            if _thread.get_ident() == main and pid == os.getpid():
                thread._made_by = tuple(current), interrupts.item()
            else:
                thread._made_by = getattr(threading.current_thread(), "_made_by", None)
        return begin(function, *args, **kwargs)

    setattr(home, name, begin_noted)


def _bound_threads():
    """Have the threads that tasks have left not hold this process for ever."""
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        from procession._pool import left_threads

        if left_threads.of_tasks(threading):
            ending.await_threads = left_threads.await_threads
