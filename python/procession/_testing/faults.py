"""Faults that a test asks for: workers that die, wait or have no memory, at a task that it chooses."""

import functools
import os
import tempfile
import time

from procession._checks import few, positive, seconds as _seconds
from procession._testing.faulty import Faulty, Plan

TYPE_CHECKING = False  # checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

__all__ = ["Fault", "full_memory", "kill_worker_at", "slow_worker"]

POINTS = ("task start", "in task", "result")
# The methods of `Pool` that take a function first, and that all others call.
_METHODS = ("apply", "apply_async", "_map", "_map_async", "_imap")


class Fault:
    """A block in which tasks of this process's pools meet a fault: those of methods that are called in it, of whatever
    pool and also by an executor. Blocks may be within each other. In a crew that has no processes nothing happens.

    It is made by `kill_worker_at`, `slow_worker` or `full_memory`.
    """

    def __init__(self, kind: str, times: int | None, when: "Callable[..., object] | None", **details: "Any") -> None:
        if when is not None and not callable(when):
            raise TypeError(f"when must be a function of a task's arguments, not {when!r}")
        most = None if times is None else few(times, "times")
        self._details = kind, most, when, details
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._plan: Plan | None = None
        self._methods: dict[str, Any] = {}

    def __enter__(self) -> "Self":
        if self._folder is not None:
            raise RuntimeError("this fault is in a block already: make another one")
        from procession.pool import Pool

        kind, most, when, details = self._details
        self._folder = tempfile.TemporaryDirectory(prefix="procession-fault-", ignore_cleanup_errors=True)
        self._plan = Plan(kind, self._folder.name, os.getpid(), most, when, details)
        for name in _METHODS:
            self._methods[name] = method = getattr(Pool, name)
            setattr(Pool, name, _faulty_method(method, self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        from procession.pool import Pool

        for name, method in self._methods.items():
            setattr(Pool, name, method)
        self._methods = {}
        self.release()
        assert self._folder is not None
        self._met = self.met
        self._folder.cleanup()
        self._folder = None

    def __call__(self, function: "Callable[..., Any]") -> "Callable[..., Any]":
        """Return a function that meets the fault, for what hands in tasks without a pool of this process.

        Raises:
            RuntimeError: the block has not begun, or is over.
        """
        if self._folder is None or self._plan is None:
            raise RuntimeError("the fault is in no block: call it inside of `with`")
        return Faulty.of(function, self._plan)

    @property
    def met(self) -> "list[int]":
        """The process ids of the workers that met the fault so far, one for each time."""
        if self._folder is None:
            return list(getattr(self, "_met", ()))
        assert self._plan is not None
        return self._plan.met()

    def await_met(self, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until the fault was met so many times.

        Args:
            count: how many times in all.
            timeout: for how many seconds at most.

        Raises:
            TimeoutError: it was not.
        """
        wanted, limit = positive(count, "count"), _seconds(timeout)
        end = None if limit is None else time.monotonic() + limit
        while len(self.met) < wanted:
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"the fault was met {len(self.met)} times in {timeout} s, not {wanted} times")
            time.sleep(0.002)

    def release(self) -> None:
        """Let the tasks go on that `slow_worker` holds, and those that come. The end of the block does so, too."""
        if self._plan is not None and self._folder is not None:
            self._plan.release()


def _faulty_method(method, fault):
    @functools.wraps(method)
    def called(pool, *args, **kwargs):
        if args:
            args = fault(args[0]), *args[1:]
        elif "func" in kwargs:
            kwargs["func"] = fault(kwargs["func"])
        return method(pool, *args, **kwargs)

    return called


def kill_worker_at(point: str, *, times: int = 1, when: "Callable[..., object] | None" = None) -> Fault:
    """Return a block in which workers are killed by SIGKILL at a point of a task.

    Args:
        point: "task start": before the task's function is called; "in task": once the first line of it has run, of a
            function that is not written in Python once it has returned; "result": while its result is pickled.
        times: how many workers, from the first task on that comes to the point.
        when: called with the arguments of a task, in the worker; tells whether it is meant. None for every task.

    Raises:
        ValueError, TypeError: an argument makes no sense.
    """
    if point not in POINTS:
        raise ValueError(f"there is no point {point!r}: give one of {', '.join(map(repr, POINTS))}")
    return Fault(point, times, when)


def slow_worker(
    seconds: float = 60.0, *, times: int | None = None, when: "Callable[..., object] | None" = None
) -> Fault:
    """Return a block in which workers wait before they call a task's function, until `release()` or the block's end.
    With it a test has tasks that run without any time that it has to choose: `await_met()` tells that they have begun.

    Args:
        seconds: how long each waits at most.
        times: how many tasks, None for all.
        when: as that of `kill_worker_at`.

    Raises:
        ValueError, TypeError: an argument makes no sense.
    """
    limit = _seconds(seconds)
    if limit is None or not 0 <= limit < 3e9:
        raise ValueError(f"seconds must be a finite number of seconds, not {seconds!r}")
    return Fault("wait", times, when, seconds=limit)


def full_memory(
    takes: int | None = None, *, left: int = 1 << 20, times: int = 1, when: "Callable[..., object] | None" = None
) -> Fault:
    """Return a block in which a task has no memory.

    Args:
        takes: how many bytes the worker takes before it calls the function, more than the `max_memory` of its pool:
            then the pool ends it. None: the function runs with nearly no address space left, so that what it allocates
            beyond that fails with MemoryError, where it stands.
        left: how many bytes of address space there are then.
        times: how many tasks.
        when: as that of `kill_worker_at`.

    Raises:
        ValueError, TypeError: an argument makes no sense.
    """
    if takes is not None:
        return Fault("take", times, when, takes=positive(takes, "takes"))
    return Fault("full", times, when, left=positive(left, "left"))
