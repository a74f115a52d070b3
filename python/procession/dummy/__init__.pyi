import array
import builtins
import threading
from collections.abc import Callable, Iterable, Mapping
from queue import Queue as Queue
from threading import Barrier as Barrier
from threading import BoundedSemaphore as BoundedSemaphore
from threading import Condition as Condition
from threading import Event as Event
from threading import Lock as Lock
from threading import RLock as RLock
from threading import Semaphore as Semaphore
from types import ModuleType
from typing import Any, Generic, TypeVar

from procession._pool.threadpool import ThreadPool
from procession.dummy.connection import Pipe as Pipe

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Namespace",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "Value",
    "active_children",
    "current_process",
    "dict",
    "freeze_support",
    "list",
    "shutdown",
]

_T = TypeVar("_T")

JoinableQueue = Queue
dict = builtins.dict
list = builtins.list
current_process = threading.current_thread

class DummyProcess(threading.Thread):
    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = {},
        *,
        daemon: bool | None = None,
    ) -> None: ...
    def start(self) -> None: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...

Process = DummyProcess

class Namespace:
    def __init__(self, /, **attributes: Any) -> None: ...
    def __getattr__(self, name: str, /) -> Any: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...

class Value(Generic[_T]):
    value: _T
    def __init__(self, typecode: object, value: _T, lock: object = True) -> None: ...

def Array(typecode: str, sequence: Iterable[Any], lock: object = True) -> array.array[Any]: ...
def Manager() -> ModuleType: ...
def Pool(
    processes: int | None = None, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()
) -> ThreadPool: ...
def active_children() -> builtins.list[DummyProcess]: ...
def freeze_support() -> None: ...
def shutdown() -> None: ...
