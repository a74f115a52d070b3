"""The names of the package, which its `__getattr__` and its `_METHODS` give at run time."""

import procession.reduction as _reduction
from procession._drop_in import install as install
from procession._exceptions import (
    NodeLost as NodeLost,
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
from procession._pool.context_vars import context_var as context_var
from procession._pool.current import current_task as current_task, current_worker as current_worker
from procession._pool.failed import TaskFailed as TaskFailed
from procession._report.recording import recording as recording
from procession.context import (
    AuthenticationError as AuthenticationError,
    BufferTooShort as BufferTooShort,
    Process as Process,
    ProcessError as ProcessError,
    TimeoutError as TimeoutError,
    _default_context,
)
from procession.forkserver import prepare as prepare
from procession.scopes import open_pool as open_pool, scope as scope
from procession.shared_pools import end_shared_pools as end_shared_pools, shared_pool as shared_pool
from procession.synchronize import OwnerDied as OwnerDied

reducer = _reduction
Array = _default_context.Array
Barrier = _default_context.Barrier
BoundedSemaphore = _default_context.BoundedSemaphore
Condition = _default_context.Condition
Event = _default_context.Event
JoinableQueue = _default_context.JoinableQueue
Lock = _default_context.Lock
Manager = _default_context.Manager
Pipe = _default_context.Pipe
Pool = _default_context.Pool
Queue = _default_context.Queue
RLock = _default_context.RLock
RawArray = _default_context.RawArray
RawValue = _default_context.RawValue
Semaphore = _default_context.Semaphore
SimpleQueue = _default_context.SimpleQueue
Value = _default_context.Value
active_children = _default_context.active_children
allow_connection_pickling = _default_context.allow_connection_pickling
cpu_count = _default_context.cpu_count
current_process = _default_context.current_process
freeze_support = _default_context.freeze_support
get_all_start_methods = _default_context.get_all_start_methods
get_context = _default_context.get_context
get_logger = _default_context.get_logger
get_start_method = _default_context.get_start_method
log_to_stderr = _default_context.log_to_stderr
parent_process = _default_context.parent_process
set_executable = _default_context.set_executable
set_forkserver_preload = _default_context.set_forkserver_preload
set_start_method = _default_context.set_start_method
