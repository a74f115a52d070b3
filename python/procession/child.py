"""What a new process does first and last: clean signals, fresh random state, the lifeline, the exit status.

A page of memory that a forked child writes to first is copied, and to look at an object is to write its reference
count. So what a child has to do is found out before the fork, as a list of chores: calls of compiled functions, as far
as possible, with all that they need.
"""

import _signal  # without the enums of `signal`, which cost more than all the rest
import atexit
import os
import sys
from _thread import get_ident

from procession import context, finalize, log_names, logs, process, standard, util
from procession._procession import hold_lifeline, set_signal_mask

__all__ = []

LIFELINE_GRACE_MS = 300


def chores_of_forked(process_obj, parent_sentinel, mask, own):
    """Return what a child has to do before it runs `process_obj`, for `bootstrap`; called before the fork.

    Args:
        process_obj: the process object.
        parent_sentinel: a pidfd of the parent.
        mask: the signals that it blocks.
        own: more chores, of the one who forks.
    """
    return [
        *first_chores(parent_sentinel, signals_to_reset(), mask, process_obj._heeds_interrupts),
        *own,
        *identity_chores(process_obj, parent_sentinel),
    ]


def live(run, *arguments):
    """Be the child in a freshly forked process, and end it with the status that `run(*arguments)` returns."""
    code = 1
    try:
        try:
            code = run(*arguments)
        finally:
            atexit._run_exitfuncs()
    except BaseException:
        _print_error(f"Process {process.current_process().name}")
    finally:
        os._exit(code)


def run_copied(load, parent_sentinel):
    """In a process that the forkserver forked, whose signal handlers are its own already: undo what else it inherited,
    become the process that `load` gives, and return the exit status."""
    for do, arguments in first_chores(parent_sentinel, (), None):
        do(*arguments)
    return _run_loaded(load, parent_sentinel)


def run(load, parent_sentinel):
    """Take hold of the parent, become the process that `load` gives, run it, and return the exit status."""
    hold_lifeline(parent_sentinel, LIFELINE_GRACE_MS)
    return _run_loaded(load, parent_sentinel)


def _run_loaded(load, parent_sentinel):
    process_obj = load()
    util._empty_stdin()
    return bootstrap(process_obj, identity_chores(process_obj, parent_sentinel))


def go_on(signum, frame):
    """Handle Ctrl-C in a worker: it reaches every process of the terminal, and the parent decides what it means.

    A handler, not SIG_IGN: programs that a task starts do not inherit it.
    """


def first_chores(parent_sentinel, handlers, mask, heeds_interrupts=True):
    """Return the calls that undo what a fork copies and a new process must not have, and take hold of the parent.

    Args:
        parent_sentinel: a pidfd of the parent.
        handlers: numbers of signals, each with its new handler.
        mask: the signals that it blocks; None leaves them: Ctrl-C waits for `spawn.prepare`.
        heeds_interrupts: as of the process object.
    """
    # Signals come through once no handler and no exit function is the parent's any more.
    chores = [(atexit._clear, ()), *((_signal.signal, reset) for reset in handlers)]
    if not heeds_interrupts:
        chores.append((_signal.signal, (_signal.SIGINT, go_on)))
    chores.append((_signal.set_wakeup_fd, (-1,)))
    if mask is not None:
        chores.append((set_signal_mask, (mask,)))
    chores.append((hold_lifeline, (parent_sentinel, LIFELINE_GRACE_MS)))
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and hasattr(numpy_random, "seed"):
        chores.append((numpy_random.seed, ()))  # `random` sees to itself
    return chores


def signals_to_reset():
    """Return which signals need another handler in a child, and which."""
    resets = []
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if callable(handler):
            default = _signal.default_int_handler if number == _signal.SIGINT else _signal.SIG_DFL
            if handler is not default:
                resets.append((number, default))
        elif number == _signal.SIGCHLD and handler == _signal.SIG_IGN:
            resets.append((number, _signal.SIG_DFL))
    return resets


def identity_chores(process_obj, parent_sentinel):
    """Return the calls that make `process_obj` the running process's own."""
    chores = context._start_method_chores(process_obj._start_method)
    threading = sys.modules.get("threading")
    if threading is not None and hasattr(threading.Thread, "_set_native_id"):  # a fork does not, in some versions
        chores.append((_renumber_thread, (threading,)))
    if threading is not None and process_obj._is_worker and get_ident() != threading.main_thread().ident:
        chores.append((_be_main_thread, (threading,)))
    chores += process._identity_chores(process_obj, parent_sentinel)
    chores += log_names._chores()
    chores.append((finalize._finalizer_registry.clear, ()))
    if util._afterfork_registry:
        chores.append((util._run_after_forkers, ()))
    return chores


def _renumber_thread(threading):
    threading.main_thread()._set_native_id()


def _be_main_thread(threading):
    """Have the one thread of a worker look as any main thread, whichever thread of the parent has forked it.

    Threads that tasks start would be daemons as their parent's helper is, and end in the middle of their work.
    """
    thread = threading.main_thread()
    thread._name, thread._daemonic = "MainThread", False


def bootstrap(process_obj, chores):
    """Do the chores, run a process object as the main activity of this process, and return the exit status."""
    code = 1
    try:
        for do, arguments in chores:
            do(*arguments)
        util.info("the child %s begins", process_obj.name)
        try:
            process_obj.run()
            code = 0
        finally:
            # Looked at here, as the function touches much more: what is to be ended, and whether a log tells of it.
            forkserver = "procession.forkserver" in sys.modules
            if forkserver or process._children or finalize._finalizer_registry or logs._logger:
                util._exit_function()
            util._exiting = True
            standard.end()
    except SystemExit as exit_request:
        code = exit_status(exit_request)
    except BaseException:
        code = 1
        _print_error(f"Process {process_obj.name}")
    finally:
        threading = sys.modules.get("threading")
        if threading is not None:
            threading._shutdown()
        util.info("the process ends with status %s", code)
        util._flush_std_streams()
    return code


def exit_status(exit_request):
    """Return the status that a SystemExit asks for; a message goes to stderr, as the interpreter does."""
    code = exit_request.code
    if code is None:
        return 0
    if isinstance(code, int):
        return int(code)
    try:
        sys.stderr.write(f"{code}\n")
    except (AttributeError, ValueError, OSError):
        pass
    return 1


def _print_error(who):
    import traceback

    try:
        sys.stderr.write(f"{who}:\n{traceback.format_exc()}")
        sys.stderr.flush()
    except (AttributeError, ValueError, OSError):
        pass
