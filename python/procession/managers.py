"""Managers: objects that live in one server process and are used from many through proxies.

The names of `multiprocessing.managers`. What works behind them is in `procession._manager`.
"""

import array
import queue
import threading

from procession import reduction
from procession._manager import locks, meeting
from procession._manager.base import BaseManager
from procession._manager.containers import DictProxy as DictProxy, ListProxy as ListProxy, SetProxy as SetProxy
from procession._manager.memory import (
    SharedMemoryManager as SharedMemoryManager,
    SharedMemoryServer as SharedMemoryServer,
)
from procession._manager.proxy import (
    AutoProxy as AutoProxy,
    BaseProxy as BaseProxy,
    MakeProxyType as MakeProxyType,
    RebuildProxy as RebuildProxy,
)
from procession._manager.referents import public_methods as public_methods
from procession._manager.server import Server as Server
from procession._manager.types import (
    AcquirerProxy as AcquirerProxy,
    ArrayProxy as ArrayProxy,
    BarrierProxy as BarrierProxy,
    ConditionProxy as ConditionProxy,
    EventProxy as EventProxy,
    IteratorProxy as IteratorProxy,
    Namespace as Namespace,
    NamespaceProxy as NamespaceProxy,
    PoolProxy as PoolProxy,
    Value as Value,
    ValueProxy as ValueProxy,
)
from procession._manager.wire import RemoteError as RemoteError, State as State, Token as Token, dispatch as dispatch

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from procession._typed.managers import Made as _Made
else:
    _Made = BaseManager

__all__ = ["BaseManager", "BaseProxy", "SharedMemoryManager", "SyncManager", "Token"]


class SyncManager(_Made):
    """A manager of the usual containers and of everything that threads synchronise with.

    The children of one server share these objects however they were started, over the network too.
    """


def Array(typecode: str, sequence: "Iterable[Any]", lock: object = True) -> "array.array[Any]":
    """Make an array in the server; there the lock is not needed."""
    return array.array(typecode, sequence)


def Pool(*args: "Any", **kwds: "Any") -> "Any":
    """Make a pool whose workers are children of the server."""
    from procession import pool

    return pool.Pool(*args, **kwds)


SyncManager.register("Queue", queue.Queue)
SyncManager.register("JoinableQueue", queue.Queue)
SyncManager.register("Event", threading.Event, EventProxy)
SyncManager.register("Lock", locks.Lock, AcquirerProxy)
SyncManager.register("RLock", locks.RLock, AcquirerProxy)
SyncManager.register("Semaphore", locks.Semaphore, AcquirerProxy)
SyncManager.register("BoundedSemaphore", locks.BoundedSemaphore, AcquirerProxy)
SyncManager.register("Condition", meeting.Condition, ConditionProxy)
SyncManager.register("Barrier", meeting.Barrier, BarrierProxy)
SyncManager.register("Pool", Pool, PoolProxy)
SyncManager.register("list", list, ListProxy)
SyncManager.register("dict", dict, DictProxy)
SyncManager.register("set", set, SetProxy)
SyncManager.register("Value", Value, ValueProxy)
SyncManager.register("Array", Array, ArrayProxy)
SyncManager.register("Namespace", Namespace, NamespaceProxy)
# Results of methods: they have a type, but a manager does not make them.
SyncManager.register("Iterator", proxytype=IteratorProxy, create_method=False)
SyncManager.register("AsyncResult", create_method=False)


def _as_list(view):
    return list, (list(view),)


# The views of a dictionary cannot be pickled; what is meant by passing one on is what it shows.
for _view in ({}.keys(), {}.values(), {}.items()):
    reduction.register(type(_view), _as_list)
del _view
