import ctypes
import logging
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from types import ModuleType
from typing import Any, Literal, TypeVar, Unpack, overload

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
from procession._pool.options import PoolOptions
from procession.connection import Connection
from procession.context import (
    AuthenticationError as AuthenticationError,
    BufferTooShort as BufferTooShort,
    ForkContext,
    ForkServerContext,
    Process as Process,
    ProcessError as ProcessError,
    SpawnContext,
    TimeoutError as TimeoutError,
)
from procession.managers import SyncManager
from procession.process import (
    active_children as active_children,
    current_process as current_process,
    parent_process as parent_process,
)
from procession.shared_pools import end_shared_pools as end_shared_pools, shared_pool as shared_pool
from procession.sharedctypes import Synchronized, SynchronizedArray, SynchronizedString
from procession.synchronize import OwnerDied as OwnerDied

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
    "end_shared_pools",
    "install",
    "share",
    "shared_pool",
]

_T = TypeVar("_T")
_C = TypeVar("_C", bound=ctypes._CData)
_Lock = synchronize.Lock | synchronize.RLock | Literal[True]
_Whole = Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]

__version__: str
SUBDEBUG: int
SUBWARNING: int
reducer: ModuleType

def Manager() -> SyncManager: ...
def Pipe(duplex: bool = True) -> tuple[Connection, Connection]: ...
def Lock(*, robust: bool = False) -> synchronize.Lock: ...
def RLock(*, robust: bool = False) -> synchronize.RLock: ...
def Condition(lock: synchronize.Lock | synchronize.RLock | None = None) -> synchronize.Condition: ...
def Semaphore(value: int = 1) -> synchronize.Semaphore: ...
def BoundedSemaphore(value: int = 1) -> synchronize.BoundedSemaphore: ...
def Event() -> synchronize.Event: ...
def Barrier(
    parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
) -> synchronize.Barrier: ...
def Queue(maxsize: int = 0) -> queues.Queue[Any]: ...
def JoinableQueue(maxsize: int = 0) -> queues.JoinableQueue[Any]: ...
def SimpleQueue() -> queues.SimpleQueue[Any]: ...
def Pool(
    processes: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
    maxtasksperchild: int | None = None,
    **options: Unpack[PoolOptions],
) -> pool.Pool: ...
@overload
def RawValue(typecode_or_type: type[_C], *args: Any) -> _C: ...
@overload
def RawValue(typecode_or_type: str, *args: Any) -> Any: ...
@overload
def RawArray(typecode_or_type: type[_C], size_or_initializer: int | Sequence[Any]) -> ctypes.Array[_C]: ...
@overload
def RawArray(typecode_or_type: str, size_or_initializer: int | Sequence[Any]) -> Any: ...
@overload
def Value(typecode_or_type: type[_C], *args: Any, lock: Literal[False]) -> _C: ...
@overload
def Value(typecode_or_type: _Whole, *args: Any, lock: _Lock = True) -> Synchronized[int]: ...
@overload
def Value(typecode_or_type: Literal["f", "d"], *args: Any, lock: _Lock = True) -> Synchronized[float]: ...
@overload
def Value(typecode_or_type: type[ctypes._SimpleCData[_T]], *args: Any, lock: _Lock = True) -> Synchronized[_T]: ...
@overload
def Value(typecode_or_type: str | type[Any], *args: Any, lock: bool | _Lock = True) -> Any: ...
@overload
def Array(
    typecode_or_type: Literal["c"], size_or_initializer: int | Sequence[Any], *, lock: _Lock = True
) -> SynchronizedString: ...
@overload
def Array(
    typecode_or_type: _Whole, size_or_initializer: int | Sequence[int], *, lock: _Lock = True
) -> SynchronizedArray[int]: ...
@overload
def Array(
    typecode_or_type: Literal["f", "d"], size_or_initializer: int | Sequence[float], *, lock: _Lock = True
) -> SynchronizedArray[float]: ...
@overload
def Array(
    typecode_or_type: type[ctypes._SimpleCData[_T]], size_or_initializer: int | Sequence[Any], *, lock: _Lock = True
) -> SynchronizedArray[_T]: ...
@overload
def Array(
    typecode_or_type: str | type[Any], size_or_initializer: int | Sequence[Any], *, lock: bool | _Lock = True
) -> Any: ...
def freeze_support() -> None: ...
def get_logger() -> logging.Logger: ...
def log_to_stderr(level: int | str | None = None) -> logging.Logger: ...
def allow_connection_pickling() -> None: ...
def set_executable(executable: str | bytes | PathLike[str] | None) -> None: ...
def set_forkserver_preload(
    module_names: list[str], *, on_error: Literal["ignore", "warn", "fail"] = "ignore"
) -> None: ...
def cpu_count() -> int: ...
@overload
def get_context(method: Literal["fork"]) -> ForkContext: ...
@overload
def get_context(method: Literal["spawn"]) -> SpawnContext: ...
@overload
def get_context(method: Literal["forkserver"]) -> ForkServerContext: ...
@overload
def get_context(method: str | None = None) -> ForkContext | SpawnContext | ForkServerContext: ...
def get_start_method(allow_none: bool = False) -> str | None: ...
def set_start_method(method: str | None, force: bool = False) -> None: ...
def get_all_start_methods() -> list[str]: ...
