"""Process-based parallelism that does not hang, does not copy and needs no tuning.

The names are those of the standard library's `multiprocessing`: `import procession as multiprocessing`.
"""

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
    "OverMemory": "_exceptions",
    "OwnerDied": "synchronize",
    "PoolTerminated": "_exceptions",
    "ProcessionWarning": "_notices",
    "SameRandomNumbers": "_notices",
    "StaleVariable": "_notices",
    "StuckAfterFork": "_notices",
    "TaskTimeout": "_exceptions",
    "WorkerDied": "_exceptions",
    "current_task": "_pool.current",
    "end_shared_pools": "shared_pools",
    "install": "_drop_in",
    "prepare": "forkserver",
    "share": "_objects.sharing",
    "shared_pool": "shared_pools",
}
_SUBMODULES = frozenset((
    "connection", "context", "dummy", "forkserver", "futures", "heap", "managers", "pool", "process", "queues",
    "reduction", "resource_sharer", "resource_tracker", "shared_memory", "sharedctypes", "spawn", "synchronize",
    "util",
))  # fmt: skip

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:  # what `__getattr__` and `_METHODS` give, for checkers
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
        reduction as reducer,
        reduction as reduction,
        resource_sharer as resource_sharer,
        resource_tracker as resource_tracker,
        shared_memory as shared_memory,
        sharedctypes as sharedctypes,
        spawn as spawn,
        synchronize as synchronize,
        util as util,
    )
    from procession._drop_in import install as install
    from procession._exceptions import (
        OverMemory as OverMemory,
        PoolTerminated as PoolTerminated,
        TaskTimeout as TaskTimeout,
        WorkerDied as WorkerDied,
    )
    from procession._notices import (
        ForkBesideThreads as ForkBesideThreads,
        ProcessionWarning as ProcessionWarning,
        SameRandomNumbers as SameRandomNumbers,
        StaleVariable as StaleVariable,
        StuckAfterFork as StuckAfterFork,
    )
    from procession._objects.failures import MaybeEncodingError as MaybeEncodingError
    from procession._objects.sharing import share as share
    from procession._pool.current import current_task as current_task
    from procession.context import (
        AuthenticationError as AuthenticationError,
        BufferTooShort as BufferTooShort,
        Process as Process,
        ProcessError as ProcessError,
        TimeoutError as TimeoutError,
    )
    from procession.forkserver import prepare as prepare
    from procession.shared_pools import end_shared_pools as end_shared_pools, shared_pool as shared_pool
    from procession.synchronize import OwnerDied as OwnerDied

    Array = _default.Array
    Barrier = _default.Barrier
    BoundedSemaphore = _default.BoundedSemaphore
    Condition = _default.Condition
    Event = _default.Event
    JoinableQueue = _default.JoinableQueue
    Lock = _default.Lock
    Manager = _default.Manager
    Pipe = _default.Pipe
    Pool = _default.Pool
    Queue = _default.Queue
    RLock = _default.RLock
    RawArray = _default.RawArray
    RawValue = _default.RawValue
    Semaphore = _default.Semaphore
    SimpleQueue = _default.SimpleQueue
    Value = _default.Value
    active_children = _default.active_children
    allow_connection_pickling = _default.allow_connection_pickling
    cpu_count = _default.cpu_count
    current_process = _default.current_process
    freeze_support = _default.freeze_support
    get_all_start_methods = _default.get_all_start_methods
    get_context = _default.get_context
    get_logger = _default.get_logger
    get_start_method = _default.get_start_method
    log_to_stderr = _default.log_to_stderr
    parent_process = _default.parent_process
    set_executable = _default.set_executable
    set_forkserver_preload = _default.set_forkserver_preload
    set_start_method = _default.set_start_method

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
    "OverMemory",
    "OwnerDied",
    "PoolTerminated",
    "ProcessionWarning",
    "SameRandomNumbers",
    "StaleVariable",
    "StuckAfterFork",
    "TaskTimeout",
    "WorkerDied",
    "current_task",
    "end_shared_pools",
    "install",
    "prepare",
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
