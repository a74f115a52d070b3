"""What contexts of clusters have in common: pools on the nodes, and clear words for what one machine alone has."""

from procession.context import BaseContext

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["ClusterContext"]

# What is refused, and what to use in its place.
_MEMORY = (
    "memory is shared within one machine only; use Value, Array or Manager, or give large read-only data to the tasks"
)
_REFUSED = dict.fromkeys(("RawArray", "RawValue"), _MEMORY)


class ClusterContext(BaseContext):
    """A context whose pools work on the nodes of a cluster: as many workers as these have CPUs, if no number is given.

    `_name` and `crew` are its engine's.
    """

    @property
    def Process(self) -> "Any":
        """The class of processes on the nodes."""
        from procession._cluster.processes import class_of

        return class_of(self._name)

    def cpu_count(self) -> int:
        """Return how many CPUs the nodes of the cluster have for tasks."""
        engine = self._engine()
        try:
            return sum(place.cpus for place in engine.places())
        finally:
            engine.close()

    def _pool_size(self, processes):
        return processes if processes is not None else max(1, self.cpu_count())

    def Manager(self) -> "Any":
        """Return a started manager: a child of this program that holds objects which all nodes use through proxies."""
        from procession._cluster.server import ClusterManager

        manager = ClusterManager(self._host())
        manager.start()
        return manager

    def Lock(self, *, robust: bool = False) -> "Any":
        """Return a lock.

        Args:
            robust: raise OwnerDied, holding the lock, when its owner has died; otherwise that is a warning.
        """
        return self._objects().make("Lock", robust)

    def RLock(self, *, robust: bool = False) -> "Any":
        """Return a lock that its owner may acquire again.

        Args:
            robust: raise OwnerDied, holding the lock, when its owner has died; otherwise that is a warning.
        """
        return self._objects().make("RLock", robust)

    def Condition(self, lock: "Any" = None) -> "Any":
        """Return a condition variable.

        Args:
            lock: a Lock or RLock of this context, None for a new RLock.
        """
        return self._objects().make("Condition", self.RLock() if lock is None else _lock_of(lock, "a condition"))

    def Semaphore(self, value: int = 1) -> "Any":
        """Return a semaphore."""
        return self._objects().make("Semaphore", _permits(value))

    def BoundedSemaphore(self, value: int = 1) -> "Any":
        """Return a semaphore that cannot be released above its first value."""
        return self._objects().make("BoundedSemaphore", _permits(value))

    def Event(self) -> "Any":
        """Return an event."""
        return self._objects().make("Event")

    def Barrier(
        self, parties: int, action: "Callable[[], object] | None" = None, timeout: "float | None" = None
    ) -> "Any":
        """Return a barrier; its action runs in the server of the objects."""
        if parties < 1:
            raise ValueError(f"parties must be 1 or more, not {parties}")
        return self._objects().make("Barrier", parties, action, timeout)

    def Queue(self, maxsize: int = 0) -> "Any":
        """Return a queue."""
        return self._objects().make("Queue", _size(maxsize))

    def JoinableQueue(self, maxsize: int = 0) -> "Any":
        """Return a queue that counts the items that are done."""
        return self._objects().make("JoinableQueue", _size(maxsize))

    def SimpleQueue(self) -> "Any":
        """Return a queue with the fewest methods."""
        return self._objects().make("SimpleQueue")

    def Pipe(self, duplex: bool = True) -> "Any":
        """Return two ends of a pipe, which have the methods of connections but `fileno`."""
        from procession._cluster.pipes import PipeProxy

        server = self._objects()
        first = server.make("Pipe")
        second = PipeProxy(first._token, first._serializer, server, first._authkey)
        return first.open(0, bool(duplex)), second.open(1, bool(duplex))

    if not TYPE_CHECKING:  # its overloads: `_typed.context`

        def Value(self, typecode_or_type, *args, lock=True):
            """Return a value of a ctypes type, with a lock."""
            from procession._cluster.objects import simple_type

            ctype = simple_type(typecode_or_type)
            ctype(*args)  # an error is one of the caller's
            return self._guarded("Value", ctype, args, lock)

        def Array(self, typecode_or_type, size_or_initializer, *, lock=True):
            """Return an array of values of a ctypes type, with a lock."""
            from procession._cluster.objects import simple_type

            ctype = simple_type(typecode_or_type)
            values = size_or_initializer
            if isinstance(values, int):
                if values < 0:
                    raise ValueError(f"the size of an array must be 0 or more, not {values}")
            else:
                values = (ctype * len(values))(*values)[:] if not isinstance(values, bytes) else values
            return self._guarded("Array", ctype, values, lock)

    def _guarded(self, typeid, ctype, given, lock):
        if lock is True or lock is None:
            lock = self.RLock()
        elif lock is not False:
            lock = _lock_of(lock, "a value or array")
        return self._objects().make(typeid, ctype, given, lock or None).guard(lock or None)

    def _objects(self):
        from procession._cluster.server import objects_at

        return objects_at(self._host())

    def _host(self):
        engine = self._engine()
        try:
            return engine.host()
        finally:
            engine.close()

    def _engine(self):
        """Return an `engine.Engine`, connected."""
        raise NotImplementedError


def _size(maxsize):
    from procession._checks import whole

    return max(0, whole(maxsize, "maxsize"))


def _permits(value):
    from procession.synchronize import _permits as checked

    return checked(value)


def _lock_of(lock, what):
    from procession._cluster.objects import Lock

    if not isinstance(lock, Lock):
        raise TypeError(f"{what} of a cluster needs a Lock or an RLock of its context, not {type(lock).__name__}")
    return lock


def _refusal(name, reason):
    def refuse(self, *args, **kwargs):
        raise NotImplementedError(f"a cluster has no {name}: {reason}")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raise NotImplementedError: {reason}."
    return refuse


for _refused, _reason in _REFUSED.items():
    setattr(ClusterContext, _refused, _refusal(_refused, _reason))
