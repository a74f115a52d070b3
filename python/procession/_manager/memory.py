"""SharedMemoryManager: shared memory segments that are given back together, when the manager stops."""

from procession import reduction, resource_tracker
from procession._manager.base import BaseManager
from procession._manager.server import Server
from procession._manager.wire import State

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeVar

    from procession.shared_memory import ShareableList, SharedMemory

    _T = TypeVar("_T")


class SharedMemoryServer(Server):
    """A server that keeps the names of segments, and removes the segments at its end."""

    public = (*Server.public, "list_segments", "release_segment", "track_segment")

    def __init__(self, *args, **kwds):
        super().__init__(*args, **kwds)
        self._segments = {}  # a dictionary for its order

    def track_segment(self, name):
        """Take a segment into care."""
        self._segments[name] = True

    def release_segment(self, name):
        """Remove a segment now; KeyError when it is not in care."""
        del self._segments[name]
        _remove(name)

    def list_segments(self):
        """Return the names of the segments in care."""
        return list(self._segments)

    def serve_forever(self):
        """As of every server; at the end the segments go."""
        try:
            super().serve_forever()
        finally:
            while self._segments:
                name, _ = self._segments.popitem()
                _remove(name)


class SharedMemoryManager(BaseManager):
    """Makes SharedMemory and ShareableList objects that nobody needs to unlink."""

    _Server = SharedMemoryServer

    def start(self, initializer=None, initargs=()):
        """Start a child process with the server, as every manager does."""
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {initializer!r}")
        # The server removes what others registered, so all must tell the same tracker.
        resource_tracker.ensure_running()
        super().start(_begin, (_TrackerPipe(), initializer, tuple(initargs)))

    def __init__(self, *args: "Any", **kwds: "Any") -> None:
        super().__init__(*args, **kwds)
        # The server takes over segments that this process registered: both need the same tracker.
        resource_tracker.ensure_running()

    def SharedMemory(self, size: int) -> "SharedMemory":
        """Return a new segment of `size` bytes; ValueError when the manager does not run."""
        from procession.shared_memory import SharedMemory

        self._check_running()
        segment = SharedMemory(None, create=True, size=size)
        self._track(segment)
        return segment

    def ShareableList(self, sequence: "Iterable[_T]") -> "ShareableList[_T]":
        """Return a new list of simple values in a segment; ValueError when the manager does not run."""
        from procession.shared_memory import ShareableList

        self._check_running()
        values = ShareableList(sequence)
        self._track(values.shm)
        return values

    def _track(self, segment):
        try:
            self._links.control(self._authkey, "track_segment", segment.name)
        except BaseException:
            segment.close()
            segment.unlink()
            raise

    def _check_running(self):
        if self._state.value != State.STARTED:
            raise ValueError("the manager does not run: call start() first, or use it in a with statement")

    def __del__(self):
        shutdown = vars(self).get("shutdown")
        if shutdown is not None:
            shutdown()


class _TrackerPipe:
    """Takes the pipe of the resource tracker to a child that does not inherit it."""

    def __reduce__(self):
        return _use_tracker, (reduction.DupFd(resource_tracker.getfd()),)


def _use_tracker(descriptor):
    resource_tracker._resource_tracker.inherit(descriptor.detach())


def _begin(_tracker, initializer, initargs):
    if initializer is not None:
        initializer(*initargs)


def _remove(name):
    from procession.shared_memory import SharedMemory

    try:
        segment = SharedMemory(name)
    except FileNotFoundError:
        return  # somebody unlinked it before us
    segment.close()
    segment.unlink()
