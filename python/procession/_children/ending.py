"""How a child ends: with which status, and what runs before, in one order for all start methods and Python versions.

1. What it was started for returns or raises. An exception is printed, SystemExit is an exit status.
2. The functions of `threading._register_atexit` run, the last first; then threads that are no daemons are joined,
   in a worker of a pool for so long only: `left_threads.py`.
3. Exit functions run, the last first, and among them `weakref.finalize`, where the first of these was registered.
4. `util._exit_function`: finalizers of priority 0 and more, children that are daemons terminated, the others joined,
   the other finalizers. Only where a log asks for it is it an exit function as others.
5. The standard streams are flushed; they were before step 3, too, as an exit function may end the process.

What the parent registered is not this process's. Each step has its turn, whatever the one before raised.
"""

import atexit
import sys
from atexit import _ncallbacks

from procession import _logs, _standard, process, util
from procession._finalize import _finalizer_registry
from procession._standard import FROZEN, kept

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = []

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1  # of exit statuses: an int of C

# The function that joins threads which a worker's tasks have left; it does not wait for ever.
await_threads: object = None

# Finalizers of `weakref` with a smaller number are of a process that this one was copied from.
_first_finalizer = 0


def chores():
    """Return the calls after which a copied process, whose exit functions were forgotten, has none of the finalizers of
    the process that it is a copy of, which has some: where a child has none of its own, they are never looked at."""
    finalizers: Any = sys.modules["weakref"].finalize
    todo: list = [
        (globals().__setitem__, ("_first_finalizer", next(finalizers._index_iter))),
        (setattr, (finalizers, "_registered_with_atexit", False)),
    ]
    if finalizers._shutdown:  # the process that is copied is on its way out
        todo.append((setattr, (finalizers, "_shutdown", False)))
    return todo


def status_of(request):
    """Return the status that a SystemExit asks for, 1 for one that no system has; a message goes to stderr, as the
    interpreter does."""
    try:
        code = request.code
        if code is None:
            return 0
        if isinstance(code, int):
            status = int.__index__(code)
            if _LOWEST <= status <= _HIGHEST:
                return status
            code = f"{name()}: {status} is no exit status, 1 is taken"
        sys.stderr.write(f"{code}\n")
    except BaseException:
        tell()
    return 1


def name(process_obj=None):
    """Return what a process, or this one, is called in messages."""
    return f"Process {(process_obj or process.current_process())._name}"


def tell(process_obj=None):
    """Print the exception that is being handled, of a process that may not be the current one yet; where that fails
    there is nobody to tell."""
    try:
        import traceback

        sys.stderr.write(f"{name(process_obj)}:\n{traceback.format_exc()}")
        sys.stderr.flush()
    except BaseException:
        pass


def finish(status):
    """Do what comes after the work of a process that is about to end; return its status, which is `status` unless a
    step fails that has to succeed."""
    # In one function as far as nothing special is to be done: each that a forked child calls costs it a page.
    loaded, well = sys.modules, True
    if "threading" in loaded:
        well = _succeeds(await_threads or loaded["threading"]._shutdown)
    logs_here = "logging" in loaded and _logs._logger
    if logs_here:
        util.info("the process ends with status %s", status)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # one is missing, closed, or cannot be written
        well = _flush() and well
    if (
        _ncallbacks()
        or process._children
        or _finalizer_registry
        or logs_here
        or kept
        or "procession.forkserver" in loaded
        or "multiprocessing.util" in loaded
        or FROZEN
    ):
        _succeeds(_run_exit_functions)
        _succeeds(_standard.end)
        _succeeds(util._exit_function)
        well = _flush() and well
    return status or int(not well)


def _succeeds(step):
    try:
        step()
    except BaseException:
        tell()
        return False
    return True


def _run_exit_functions():
    weakref: Any = sys.modules.get("weakref")
    if weakref is not None and weakref.finalize._registered_with_atexit:
        for info in list(weakref.finalize._registry.values()):
            if info.index < _first_finalizer:
                info.atexit = False
    atexit._run_exitfuncs()


def _flush():
    """Flush the standard streams; return whether all that this process wrote to them is written. One that cannot be
    flushed is given up, so that nobody tries again."""
    written = True
    for which in ("stdout", "stderr"):
        stream: Any = getattr(sys, which, None)
        try:
            stream.flush()
        except (AttributeError, ValueError):  # there is none, or it is closed
            pass
        except BaseException as error:
            setattr(sys, which, None)
            if stream in util._stuck:  # by what the parent wrote
                continue
            written = False
            if not isinstance(error, BrokenPipeError):  # nobody reads any more, and nobody wonders
                tell()
    return written
