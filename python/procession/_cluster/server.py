"""The server of what a program shares with its processes on the nodes: that of a manager, in a child of the program."""

import os
import queue
import threading

from procession import process
from procession._children import popen_spawn
from procession._cluster import keys, objects, pipes, served
from procession._manager import meeting
from procession.context import SpawnContext, SpawnProcess
from procession.managers import SyncManager

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ClusterManager", "Objects", "objects_at"]


class _Popen(popen_spawn.Popen):
    """A child without the main module: what is of that comes by value, as from the nodes."""

    def _preparation_data(self, process_obj):
        data = super()._preparation_data(process_obj)
        for name in ("init_main_from_name", "init_main_from_path", "main_code"):
            data.pop(name, None)
        return data


class _Process(SpawnProcess):
    """The process of a server."""

    @staticmethod
    def _Popen(process_obj):
        return _Popen(process_obj)


class _Context(SpawnContext):
    """Starts a server."""

    Process = _Process


class ClusterManager(SyncManager):
    """A manager whose server the nodes of a cluster reach.

    Args:
        host: the address of this machine by which they do, where it listens.
    """

    def __init__(self, host: str) -> None:
        super().__init__((host, 0), keys.own().value, "by value", _Context())

    def start(self, initializer: "Any" = None, initargs: "Any" = ()) -> None:
        """Start the server; blocks until it listens. See `BaseManager.start`."""
        super().start(initializer, initargs)
        self._links.key = self._authkey  # of proxies that come back

    def __reduce__(self):
        raise TypeError("a manager of a cluster stays in its program: pass on what it has made")


class Objects(ClusterManager):
    """Makes what a context shares."""

    def make(self, typeid, *arguments):
        """Make an object in the server; return a proxy of it."""
        token, methods = self._create(typeid, *arguments)
        proxytype = self._registry[typeid][-1]
        return proxytype(token, self._serializer, self, self._authkey, methods, False)


for _name, _made, _proxy in (
    ("Queue", queue.Queue, objects.Queue),
    ("JoinableQueue", queue.Queue, objects.JoinableQueue),
    ("SimpleQueue", queue.Queue, objects.SimpleQueue),
    ("Lock", served.Lock, objects.Lock),
    ("RLock", served.RLock, objects.Lock),
    ("Semaphore", served.Semaphore, objects.Semaphore),
    ("BoundedSemaphore", served.BoundedSemaphore, objects.Semaphore),
    ("Condition", served.Condition, objects.Condition),
    ("Event", threading.Event, objects.Event),
    ("Barrier", meeting.Barrier, objects.Barrier),
    ("Value", served.Cell, objects.Value),
    ("Array", served.Cells, objects.Array),
    ("Pipe", pipes.Pipe, pipes.PipeProxy),
):
    Objects.register(_name, _made, _proxy, create_method=False)

_servers: dict = {}  # by the process that they are of and the address: those that run
_starting = threading.Lock()


def objects_at(host: str) -> Objects:
    """Return what makes objects at an address of this machine; started once, it ends with the program.

    Raises:
        OSError: the address is none of this machine.
    """
    with _starting:
        known = _servers.get((os.getpid(), host))
        if known is None:
            known = Objects(host)
            known.start()
            process._children.discard(known._process)  # the program did not start it, and would wait for it
            _servers[os.getpid(), host] = known
        return known


def _forked():
    global _starting
    _starting = threading.Lock()


os.register_at_fork(after_in_child=_forked)
