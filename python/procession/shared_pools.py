"""Pools whose workers stay for the next call: no start-up in a function that is called again and again."""

import os
import threading

from procession import context as contexts
from procession._checks import few
from procession._pool import cpus
from procession._pool.crew import _terminated
from procession.pool import CLOSE, RUN, TERMINATE, Pool

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from procession.context import BaseContext

__all__ = ["SharedPool", "end_shared_pools", "shared_pool"]

_lock = threading.Lock()
# The pools behind the handles, by start method and number of workers, and the process that they belong to.
_kept: dict = {}
_owner = None


def shared_pool(processes: int | None = None, *, context: "BaseContext | None" = None) -> "SharedPool":
    """Return a pool whose workers are there already, if the program has asked for so many before.

    It is used as any `Pool`. Closing or terminating it, or leaving its `with` block, ends the tasks of this handle
    only: the workers wait for the next caller, in whatever thread, until the program ends or `end_shared_pools` is
    called. What the program defines or imports later is known to them; what it changes in its modules, or in
    `os.environ`, after they have started is not.

    Args:
        processes: how many workers; None for as many as `Pool` has by default.
        context: where processes come from; None for the default start method.

    Raises:
        ValueError, TypeError: an argument makes no sense.
        OSError: a worker could not be started.
    """
    processes = few(cpus.budget() if processes is None else processes, "the number of processes")
    ctx = (context or contexts._default_context).get_context()
    key = ctx.get_start_method(), processes
    with _lock:
        kept = _own()
        behind = kept.get(key)
        if behind is None or behind._crew.unusable:
            behind = kept[key] = _Behind(processes, context=ctx)
        return SharedPool(behind)


def end_shared_pools() -> None:
    """End the workers of all shared pools; tasks without an outcome fail with `PoolTerminated`. Handles are of no use
    afterwards, `shared_pool` starts new workers."""
    with _lock:
        pools = list(_own().values())
        _kept.clear()
    for pool in pools:
        pool.terminate()
        pool.join()


def _own():
    global _owner
    if _owner != os.getpid():
        # A fork has the parent's pools, too, whose workers serve the parent.
        _owner = os.getpid()
        _kept.clear()
    return _kept


def _after_fork():
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class _Behind(Pool):
    """The workers of shared pools."""

    def __del__(self, *_: object):
        """Do not warn: the program's end is the end that is meant."""


class SharedPool(Pool):
    """A caller's handle of a shared pool; made by `shared_pool`."""

    def __init__(self, behind: "Pool") -> None:
        self._behind = behind
        self._state = RUN
        self._ctx = behind._ctx
        self._maxtasksperchild = None
        self._crew = behind._crew
        self._core = behind._core.share()

    def __del__(self, *_: object):
        """Do not warn: a handle holds nothing that has to be given back."""

    def resize(self, processes: int) -> None:
        """Raise NotImplementedError: the workers are there for all who share them."""
        raise NotImplementedError("a shared pool has no resize: make a Pool of your own")

    def close(self) -> None:
        """Take no more tasks by this handle."""
        if self._state == RUN:
            self._state = CLOSE
            if self._serves_us():
                self._core.close()

    def terminate(self) -> None:
        """Give up the tasks of this handle, of all threads: those without an outcome fail with `PoolTerminated`."""
        self._state = TERMINATE
        if self._serves_us():
            self._core.end(_terminated)

    def join(self) -> None:
        """Wait for the tasks of this handle, after `close` or `terminate`; the workers stay.

        Raises:
            ValueError: neither was called.
        """
        if self._state == RUN:
            raise ValueError("Pool is still running: call close() or terminate() before join()")
        if self._serves_us():
            self._core.join(None)

    def _serves_us(self):
        # A fork has the handle, too, whose workers serve the parent.
        return self._crew.is_ours() and not self._crew.ended
