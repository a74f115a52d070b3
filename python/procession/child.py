"""What a new process does first and last: clean signals, fresh random state, the lifeline, the exit status."""

import _signal  # without the enums of `signal`, which cost more than all the rest
import atexit
import os
import sys

from procession import log_names, process, standard, util
from procession._procession import hold_lifeline

__all__ = []

LIFELINE_GRACE_MS = 300


def run_forked(load, parent_sentinel):
    """Be the child in a freshly forked process, and end it.

    Args:
        load: makes the process object.
        parent_sentinel: a pidfd of the parent.
    """
    code = 1
    try:
        try:
            reset_inherited()
            code = run(load, parent_sentinel)
        finally:
            _run_exit_functions()
    except BaseException:
        _print_error(f"Process {process.current_process().name}")
    finally:
        os._exit(code)


def reset_inherited():
    """Undo what a fork copies and a new process must not have: signal handlers, masks, exit functions, random state."""
    _signal.set_wakeup_fd(-1)
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        if callable(handler):
            default = _signal.default_int_handler if number == _signal.SIGINT else _signal.SIG_DFL
            if handler is not default:
                _signal.signal(number, default)
    if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN:
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    atexit._clear()
    reseed()


def reseed():
    """Give numpy's global generator a fresh state; `random` sees to its own."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and hasattr(numpy_random, "seed"):
        numpy_random.seed()


def run(load, parent_sentinel):
    """Take hold of the parent, become the process that `load` gives, run it, and return the exit status."""
    hold_lifeline(parent_sentinel, LIFELINE_GRACE_MS)
    return bootstrap(load(), parent_sentinel)


def bootstrap(process_obj, parent_sentinel):
    """Run a process object as the main activity of this process and return the exit status."""
    from procession import context

    code = 1
    try:
        if process_obj._start_method is not None:
            context._force_start_method(process_obj._start_method)
        util._close_stdin()
        threading = sys.modules.get("threading")
        if threading is not None:
            own_thread = threading.main_thread()
            if hasattr(own_thread, "_set_native_id"):  # a fork does not, before Python 3.13
                own_thread._set_native_id()
        process._become(process_obj, parent_sentinel)
        log_names.name_log_records()
        util._finalizer_registry.clear()
        util._run_after_forkers()
        util.info("the child %s begins", process_obj.name)
        try:
            process_obj.run()
            code = 0
        finally:
            util._exit_function()
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


def _run_exit_functions():
    atexit._run_exitfuncs()
