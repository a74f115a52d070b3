"""Managers: objects that live in one server process and are used from many through proxies.

The names of `multiprocessing.managers`.  What works behind them is in `procession._manager`.
"""

import array
import queue
import threading

from procession import reduction
from procession._manager import locks, meeting
from procession._manager.base import BaseManager
from procession._manager.containers import DictProxy, ListProxy, SetProxy
from procession._manager.memory import SharedMemoryManager, SharedMemoryServer
from procession._manager.proxy import AutoProxy, BaseProxy, MakeProxyType, RebuildProxy
from procession._manager.referents import public_methods
from procession._manager.server import Server
from procession._manager.types import (
    AcquirerProxy,
    ArrayProxy,
    BarrierProxy,
    ConditionProxy,
    EventProxy,
    IteratorProxy,
    Namespace,
    NamespaceProxy,
    PoolProxy,
    Value,
    ValueProxy,
)
from procession._manager.wire import RemoteError, State, Token, dispatch

__all__ = ["BaseManager", "BaseProxy", "SharedMemoryManager", "SyncManager", "Token"]

_also_public = (
    AcquirerProxy,
    ArrayProxy,
    AutoProxy,
    BarrierProxy,
    ConditionProxy,
    DictProxy,
    EventProxy,
    IteratorProxy,
    ListProxy,
    MakeProxyType,
    NamespaceProxy,
    PoolProxy,
    RebuildProxy,
    RemoteError,
    Server,
    SetProxy,
    SharedMemoryServer,
    State,
    ValueProxy,
    dispatch,
    public_methods,
)


class SyncManager(BaseManager):
    """A manager of the usual containers and of everything that threads synchronise with.

    The children of one server share these objects however they were started, over the network too.
    """


def Array(typecode, sequence, lock=True):
    """Make an array in the server; there the lock is not needed."""
    return array.array(typecode, sequence)


def Pool(*args, **kwds):
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
