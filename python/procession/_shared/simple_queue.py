"""The queue with the fewest methods."""

from procession import _procession as engine, process, reduction
from procession._shared import queue_ends

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from procession._typed.shared import _T, SimpleQueue as _SimpleQueue
    from procession.context import BaseContext
else:
    from procession._standard import Generic as _SimpleQueue

    _T = None

__all__ = ["SimpleQueue"]


class SimpleQueue(_SimpleQueue[_T], engine.SimpleQueue):
    """A queue of objects in shared memory.

    What is put is pickled at once; `put` never waits. A process that is killed while it puts or gets leaves the queue
    in order: its message is whole or not there.

    Args:
        ctx: the context it is for.
    """

    def __init__(self, *, ctx: "BaseContext | None" = None) -> None:
        self._open()

    _reader, _writer = queue_ends.QueueEnd(queue_ends.SimpleReader), queue_ends.QueueEnd(queue_ends.SimpleWriter)

    def __reduce__(self):
        # By the module that a child needs; that of the class is where programs find it.
        kind = type(self)
        return _new, () if kind is SimpleQueue else (kind,), self.__getstate__()

    def __getstate__(self):
        process.assert_spawning(self)
        return tuple(reduction.DupFd(descriptor) for descriptor in self._share())

    def __setstate__(self, state):
        memory, bell = state
        self._open((memory.detach(), bell.detach()))


def _new(kind=SimpleQueue):
    return kind.__new__(kind)


SimpleQueue.__module__ = "procession.queues"
