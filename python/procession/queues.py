"""Queues between any number of processes."""

from queue import Empty as Empty, Full as Full

from procession import _procession as engine, process, reduction
from procession._checks import Signature, whole
from procession._shared import queue_ends
from procession._shared.simple_queue import SimpleQueue as SimpleQueue
from procession.synchronize import SEM_VALUE_MAX

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from procession._typed.shared import _T, Queue as _Queue
    from procession.context import BaseContext
else:
    from procession._standard import Generic as _Queue

    _T = None

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]


class Queue(_Queue[_T], engine.Queue):
    """A queue of objects in shared memory.

    What is put is pickled at once and no longer depends on the process that put it; a process that is killed while it
    puts or gets leaves the queue in order.

    Args:
        maxsize: how many objects there is room for; without it, or with 0, as many as memory holds.
        ctx: the context it is for.

    Raises:
        TypeError, OverflowError: `maxsize` is no integer, or more than `SEM_VALUE_MAX`.
    """

    __signature__ = Signature()

    def __new__(cls, maxsize=0, *args, ctx=None, **kwds):
        # A subclass has arguments of its own, and its __init__ passes the room on.
        return super().__new__(cls, _most(maxsize) if cls.__init__ is Queue.__init__ else SEM_VALUE_MAX)

    def __init__(self, maxsize: int = 0, *, ctx: "BaseContext | None" = None) -> None:
        self._maxsize = _most(maxsize)
        if type(self).__init__ is not Queue.__init__:
            self._limit(self._maxsize)

    def __reduce__(self):
        process.assert_spawning(self)
        return _rebuild, (type(self), reduction.DupFd(self._share()), self._maxsize)

    _reader, _writer = queue_ends.QueueEnd(queue_ends.Reader), queue_ends.QueueEnd(queue_ends.Writer)

    def put_many(self, objects: "Iterable[_T]", block: object = True, timeout: float | None = None) -> None:
        """Put several objects, one after the other, each as `put` does: what that raises leaves those before in the
        queue."""
        for obj in objects:
            self.put(obj, block, timeout)

    def __init_subclass__(cls, **kwds):
        super().__init_subclass__(**kwds)
        if cls._on_queue_feeder_error is not Queue._on_queue_feeder_error:
            cls.put = _put_or_report  # type: ignore[method-assign]

    @staticmethod
    def _on_queue_feeder_error(error: BaseException, obj: "Any") -> None:
        # A subclass that overrides it gets what `put` could not pickle; else `put` raises.
        raise error


for _name in queue_ends.LACKING:
    setattr(Queue, _name, queue_ends.Lacking(_name))


def _most(maxsize):
    """Return how many objects there is room for."""
    maxsize = whole(maxsize, "maxsize")
    if maxsize > SEM_VALUE_MAX:
        raise OverflowError(f"maxsize must be {SEM_VALUE_MAX} or less, not {maxsize}; 0 is no limit")
    return maxsize if maxsize > 0 else SEM_VALUE_MAX


def _put_or_report(self, obj, block=True, timeout=None):
    """Put an object; one that cannot be pickled is reported to `_on_queue_feeder_error`."""
    try:
        Queue.put(self, obj, block, timeout)
    except (Full, ValueError, OSError):
        raise
    except Exception as error:
        self._on_queue_feeder_error(error, obj)


def _rebuild(cls, descriptor, maxsize):
    queue: Queue[Any] = engine.Queue.__new__(cls, 0, descriptor.detach())
    queue._maxsize = maxsize
    return queue


class JoinableQueue(Queue[_T]):
    """A queue that knows how many of its objects are yet to be done."""

    def task_done(self) -> None:
        """Report that one object that was taken out is done.

        Raises:
            ValueError: all that were put are reported already.
        """
        self._report_done()

    def join(self) -> None:
        """Wait until all objects that were put are reported done, by whatever process."""
        self._wait_until_done()
