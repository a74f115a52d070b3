"""What a new process does first: clean signals, fresh random state, the lifeline; `ending.py` has what it does last.

A page of memory that a forked child writes to first is copied, and to look at an object is to write its reference
count. So what a child has to do is found out before the fork, as a list of chores: calls of compiled functions, as far
as possible, with all that they need.
"""

import _signal  # without the enums of `signal`, which cost more than all the rest
import atexit
import os
import sys
from _thread import get_ident

from procession import _logs, process, util
from procession._children import ending, late_logging
from procession._finalize import _finalizer_registry, _registered
from procession._procession import do_all, hold_lifeline, leave_termination_to

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = []

LIFELINE_GRACE_MS = 300
_own_bootstrap = process._own_bootstrap


def chores_of_forked(process_obj, parent_sentinel, mask, own):
    """Return what a child has to do before it runs `process_obj`, in groups, for `do_all`; called before the fork.

    Args:
        process_obj: the process object.
        parent_sentinel: a pidfd of the parent.
        mask: the signals that it blocks.
        own: more chores, of the one who forks.
    """
    rest = (*own, *identity_chores(process_obj, parent_sentinel))
    return *first_chores(parent_sentinel, signals_to_reset(), mask, process_obj._heeds_interrupts), rest


def run(process_obj, begin, what):
    """Run, as the main activity of this process, a process object; return the exit status. Raises nothing, unless it is
    interrupted at its very end.

    Args:
        process_obj: the process object, if it is known before; else `begin` returns it.
        begin: does what comes first, when called with `what`.
    """
    status = 1
    try:
        begun = begin(what)
        if process_obj is None:
            process_obj = begun
        loaded = sys.modules
        if "logging" in loaded and _logs._logger:
            util.info("the child %s begins", process_obj.name)
        if "procession._around" in loaded or type(process_obj)._bootstrap is not _own_bootstrap:
            status = _run_within_tools(process_obj)
        else:
            process_obj.run()
            status = 0
    except SystemExit as request:
        status = ending.status_of(request)
    except BaseException:
        ending.tell(process_obj)
    finally:
        status = ending.finish(status)
    return status


def _run_within_tools(process_obj):
    from procession import _around

    work = process_obj._bootstrap
    if work.__func__.__module__ == "coverage.multiproc":  # which calls it for the same as `around.coverage` does
        return _around.live(lambda: run_whole(process_obj), ending.tell)
    return _around.live(lambda: work(parent_sentinel=process._parent_process._sentinel), ending.tell)


def run_whole(process_obj):
    """Run a process object, and what comes after it; return the exit status. Tools around it see all of that."""
    status = 1
    try:
        process_obj.run()
        status = 0
    except SystemExit as request:
        status = ending.status_of(request)
    except BaseException:
        ending.tell(process_obj)
    finally:
        status = ending.finish(status)
    return status


def live_copied(load, parent_sentinel):
    """In a process that the forkserver forked, whose signal handlers are its own already: undo what else it inherited,
    become the process that `load` gives, run it, and end."""
    os._exit(run(None, _begin_loaded, (load, parent_sentinel, first_chores(parent_sentinel, (), None))))


def run_fresh(load, parent_sentinel):
    """Take hold of the parent, become the process that `load` gives, run it, and return the exit status."""
    first = (((hold_lifeline, (parent_sentinel, LIFELINE_GRACE_MS)),),)
    status = run(None, _begin_loaded, (load, parent_sentinel, first))
    util._exiting = os.getpid()
    return status


def _begin_loaded(what):
    load, parent_sentinel, chores = what
    do_all(chores)
    process_obj = load()
    util._empty_stdin()
    if process_obj._expected is not None:
        from procession._objects import variables

        variables.compare(process_obj._expected)
    do_all((tuple(identity_chores(process_obj, parent_sentinel)),))
    return process_obj


def go_on(signum, frame):
    """Handle Ctrl-C in a worker: it reaches every process of the terminal, and the parent decides what it means.

    A handler, not SIG_IGN: programs that a task starts do not inherit it.
    """


def leave_termination():
    """Leave SIGTERM and SIGHUP to the parent of this worker or helper; SIGTERM stays with a tool that handles it."""
    leave_termination_to(process._parent_process._pid)
    around = sys.modules.get("procession._around")
    if around is not None:
        around.heed_termination()


# The first calls of each copy of a process.
_ALWAYS = ((atexit._clear, ()), (_signal.set_wakeup_fd, (-1,)))


def first_chores(parent_sentinel, handlers, mask, heeds_interrupts=True):
    """Return the calls, in groups, that undo what a fork copies and a new process must not have, and take hold of the
    parent.

    Args:
        parent_sentinel: a pidfd of the parent.
        handlers: what `signals_to_reset` returned.
        mask: the signals that it blocks; None leaves them: Ctrl-C waits for `spawn.prepare`.
        heeds_interrupts: as of the process object.
    """
    # Signals come through once no handler and no exit function is the parent's any more.
    weakref: Any = sys.modules.get("weakref")
    chores = ending.chores() if weakref is not None and weakref.finalize._registered_with_atexit else []
    for reset in handlers:
        chores.append((reset_handler, reset))
    if not heeds_interrupts:
        chores.append((_signal.signal, (_signal.SIGINT, go_on)))
    chores.append((hold_lifeline, (parent_sentinel, LIFELINE_GRACE_MS, mask)))
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and hasattr(numpy_random, "seed"):
        chores.append((numpy_random.seed, ()))  # `random` sees to itself
    for module, threads in _OF_EXECUTORS:
        # Whether there are any is not asked: one that has just begun is noted by another thread, as late as now.
        if module in sys.modules and (known := getattr(sys.modules[module], threads, None)) is not None:
            chores.append((known.data.clear, ()))
    return _ALWAYS, tuple(chores)


# Where the standard executors note their threads, which an exit function joins. A child has none of them but the one
# that forked it, which is its main thread now. From 3.13 on those of `ThreadPoolExecutor` are forgotten without us.
_OF_EXECUTORS = (("concurrent.futures.thread", "_threads_queues"), ("concurrent.futures.process", "_threads_wakeups"))


def signals_to_reset():
    """Return which signals need another handler in a child: number, handler now, handler then."""
    resets = []
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if callable(handler):
            default = _signal.default_int_handler if number == _signal.SIGINT else _signal.SIG_DFL
            if handler is not default:
                resets.append((number, handler, default))
        elif number == _signal.SIGCHLD and handler == _signal.SIG_IGN:
            resets.append((number, handler, _signal.SIG_DFL))
    return resets


# A fork has no timers: one that runs in a new child was started for it, as sampling profilers do after a fork.
_TIMERS = {
    _signal.SIGALRM: _signal.ITIMER_REAL,
    _signal.SIGVTALRM: _signal.ITIMER_VIRTUAL,
    _signal.SIGPROF: _signal.ITIMER_PROF,
}


def reset_handler(number, before, default):
    """Give a signal the handler of a new process, unless something has seen to it for this child since the fork."""
    if _signal.getsignal(number) is before and not (number in _TIMERS and _is_timed(number)):
        _signal.signal(number, default)


def _is_timed(number):
    """Return whether a timer of this process sends a signal, or has sent it and waits until that is taken."""
    return any(_signal.getitimer(_TIMERS[number])) or number in _signal.sigpending()


def stop_timers():
    """Stop the timers that outlive an exec, whose handlers do not: they would end the program that comes."""
    for timer in _TIMERS.values():
        _signal.setitimer(timer, 0)


def identity_chores(process_obj, parent_sentinel):
    """Return the calls that make `process_obj` the running process's own."""
    # No call for what is not there: each function that runs costs the process that forks pages.
    chores: list = []
    if "threading" in sys.modules:
        chores += _thread_chores(sys.modules["threading"], process_obj)
    chores += process._identity_chores(process_obj, parent_sentinel)
    chores += late_logging.name_chores()
    if _finalizer_registry:
        chores.append((_finalizer_registry.clear, ()))
    if _registered:
        chores.append((util._run_after_forkers, ()))
    return chores


def _thread_chores(threading, process_obj):
    chores: list = []
    if hasattr(threading.Thread, "_set_native_id"):  # a fork does not, in some versions
        chores.append((_renumber_thread, (threading,)))
    if process_obj._is_worker and get_ident() != threading.main_thread().ident:
        chores.append((_be_main_thread, (threading,)))
    return chores


def _renumber_thread(threading):
    threading.main_thread()._set_native_id()


def _be_main_thread(threading):
    """Have the one thread of a worker look as any main thread, whichever thread of the parent has forked it.

    Threads that tasks start would be daemons as their parent's helper is, and end in the middle of their work.
    """
    thread = threading.main_thread()
    thread._name, thread._daemonic = "MainThread", False
