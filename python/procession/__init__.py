"""Process-based parallelism that does not hang, does not copy and needs no tuning.

The names are those of the standard library's `multiprocessing`: `import procession as multiprocessing`.

PYTEST_DONT_REWRITE: pytest, which finds a plugin here, would warn where the package is imported before it.
"""

import os as _os
import sys as _sys

try:
    from procession._procession import __version__ as __version__
except ImportError as _error:
    if "subinterpreter" not in str(_error):
        raise
    raise ImportError(
        "procession works in the main interpreter of a process only, not in subinterpreters, such as those of"
        " InterpreterPoolExecutor: import it in the main interpreter, or have a pool of processes in place of them",
        name="procession._procession",
        path=_error.path,
    ) from _error

from procession import context as _context

_default = _context._default_context
_EXCEPTIONS = _context._EXCEPTIONS
_METHODS = (
    "Array", "Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "Lock", "Manager", "Pipe",
    "Pool", "Process", "Queue", "RLock", "RawArray", "RawValue", "Semaphore", "SimpleQueue", "Value",
    "active_children", "allow_connection_pickling", "cpu_count", "current_process", "freeze_support",
    "get_all_start_methods", "get_context", "get_logger", "get_start_method", "log_to_stderr", "parent_process",
    "set_executable", "set_forkserver_preload", "set_start_method",
)  # fmt: skip
# The names that the standard library does not have, and the modules that they are in.
_OWN = {
    "ForkBesideThreads": "_notices",
    "MaybeEncodingError": "_objects.failures",
    "NodeLost": "_exceptions",
    "OverMemory": "_exceptions",
    "OwnerDied": "synchronize",
    "PoolTerminated": "_exceptions",
    "ProcessionWarning": "_notices",
    "SameRandomNumbers": "_notices",
    "StaleVariable": "_notices",
    "StuckAfterFork": "_notices",
    "TaskFailed": "_pool.failed",
    "TaskTimeout": "_exceptions",
    "WorkerDied": "_exceptions",
    "context_var": "_pool.context_vars",
    "current_task": "_pool.current",
    "current_worker": "_pool.current",
    "end_shared_pools": "shared_pools",
    "install": "_drop_in",
    "open_pool": "scopes",
    "prepare": "forkserver",
    "recording": "_report.recording",
    "scope": "scopes",
    "share": "_objects.sharing",
    "shared_pool": "shared_pools",
}
_SUBMODULES = frozenset((
    "connection", "context", "dummy", "forkserver", "futures", "heap", "managers", "pool", "process", "queues",
    "reduction", "resource_sharer", "resource_tracker", "shared_memory", "sharedctypes", "spawn", "synchronize",
    "util",
))  # fmt: skip

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    # Here, where pyright takes them for public.
    from procession import (
        connection as connection,
        context as context,
        dummy as dummy,
        forkserver as forkserver,
        futures as futures,
        heap as heap,
        managers as managers,
        pool as pool,
        process as process,
        queues as queues,
        reduction as reduction,
        resource_sharer as resource_sharer,
        resource_tracker as resource_tracker,
        shared_memory as shared_memory,
        sharedctypes as sharedctypes,
        spawn as spawn,
        synchronize as synchronize,
        util as util,
    )
    from procession._typed.package import *  # what `__getattr__` and `_METHODS` give
del TYPE_CHECKING  # it is none of the package's names

SUBDEBUG = 5
SUBWARNING = 25

# Children import the main module under this name, and return objects of its classes by it.
if "__main__" in _sys.modules:
    _sys.modules["__mp_main__"] = _sys.modules["__main__"]

globals().update((name, getattr(_default, name)) for name in _METHODS)

# Those of the standard library; `from multiprocessing import *` of a replaced program gives it no others.
_STANDARD = ("reducer", *_METHODS, *_EXCEPTIONS)
__all__ = [
    "reducer",
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "AuthenticationError",
    "BufferTooShort",
    "ProcessError",
    "TimeoutError",
    "ForkBesideThreads",
    "MaybeEncodingError",
    "NodeLost",
    "OverMemory",
    "OwnerDied",
    "PoolTerminated",
    "ProcessionWarning",
    "SameRandomNumbers",
    "StaleVariable",
    "StuckAfterFork",
    "TaskFailed",
    "TaskTimeout",
    "WorkerDied",
    "context_var",
    "current_task",
    "current_worker",
    "end_shared_pools",
    "install",
    "open_pool",
    "prepare",
    "recording",
    "scope",
    "share",
    "shared_pool",
]


def _module(name):
    """Return a submodule, imported without `importlib`, which would double the time that the package takes to load."""
    __import__(f"procession.{name}")
    return _sys.modules[f"procession.{name}"]


def __getattr__(name):
    """Import submodules and exceptions when they are first asked for."""
    if name in _EXCEPTIONS:
        value = globals()[name] = getattr(_context, name)
        return value
    if name in _OWN:
        value = globals()[name] = getattr(_module(_OWN[name]), name)
        return value
    module = "reduction" if name == "reducer" else name
    if module in _SUBMODULES:
        try:
            return _module(module)
        except ModuleNotFoundError as error:
            if error.name != f"procession.{module}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *_OWN, *_SUBMODULES})


if "PROCESSION_RECORD" in _os.environ:
    _module("_report.recording").begin_by_environment()
