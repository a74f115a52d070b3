"""What a worker does that is to meet a fault. Files of a folder say what has happened: killed workers tell nothing."""

import functools
import os
import sys
import time

TYPE_CHECKING = False  # checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Faulty", "Plan"]

_RELEASED = "released"
_LOOK_S = 0.005
# How long a worker that has taken too much waits for its pool to end it.
_END_LIMIT_S = 10.0


class Plan:
    """Which tasks meet which fault.

    Args:
        kind: a point of `kill_worker_at`, "wait", "take" or "full".
        folder: the path of the folder that is there as long as the block; each time has a file there.
        program: the process that asks for it, which meets no fault itself.
        most: how many times it is met, None for no limit.
        when: tells of a task's arguments whether it is meant, or None.
        details: what the kind needs to know.
    """

    def __init__(
        self,
        kind: str,
        folder: str,
        program: int,
        most: int | None,
        when: "Callable[..., object] | None",
        details: "dict[str, Any]",
    ) -> None:
        self.kind = kind
        self.folder = folder
        self.program = program
        self.most = most
        self.when = when
        self.details = details

    def is_meant(self, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> bool:
        """Whether a task is one of those, and runs in another process than the program."""
        return os.getpid() != self.program and (self.when is None or bool(self.when(*args, **kwargs)))

    def take(self) -> bool:
        """Whether this is one of the times; then nobody else has it."""
        number = 0
        while self.most is None or number < self.most:
            try:
                os.symlink(str(os.getpid()), f"{self.folder}/{number}")  # made with what it says in one step
                return True
            except FileExistsError:
                number += 1
            except OSError:  # the block is over
                return False
        return False

    def met(self) -> "list[int]":
        """Return the processes that had a time, in order."""
        found = []
        while True:
            try:
                found.append(int(os.readlink(f"{self.folder}/{len(found)}")))
            except OSError:
                return found

    def release(self) -> None:
        """Let those go on that wait."""
        with open(f"{self.folder}/{_RELEASED}", "w"):
            pass

    def wait(self) -> None:
        """Wait until somebody lets go, or the block is over."""
        end = time.monotonic() + self.details["seconds"]
        while self._is_held() and time.monotonic() < end:
            time.sleep(_LOOK_S)

    def _is_held(self) -> bool:
        return os.path.isdir(self.folder) and not os.path.exists(f"{self.folder}/{_RELEASED}")


class Faulty(functools.partial):
    """A function with a fault."""

    plan: Plan

    @classmethod
    def of(cls, function: "Callable[..., Any]", plan: Plan) -> "Faulty":
        """Return a function that does what another does, but for the fault."""
        made = cls(function)  # another one with a fault stays whole in it
        made.plan = plan
        return made

    def __call__(self, /, *args: "Any", **kwargs: "Any") -> "Any":
        plan, function = self.plan, functools.partial(self.func, *self.args, **self.keywords)
        if not plan.is_meant(args, kwargs):
            return function(*args, **kwargs)
        if plan.kind == "task start":
            if plan.take():
                _kill()
        elif plan.kind == "in task":
            return _called_halfway(plan, function, args, kwargs)
        elif plan.kind == "result":
            return _Unsent(function(*args, **kwargs), plan)
        elif plan.kind == "wait":
            if plan.take():
                plan.wait()
        elif plan.take():
            if plan.kind == "full":
                return _with_nothing_left(plan.details["left"], function, args, kwargs)
            _take(plan.details["takes"])
        return function(*args, **kwargs)


def _kill():
    os.kill(os.getpid(), 9)
    time.sleep(_END_LIMIT_S)  # the signal is on its way


class _Unsent:
    """A result that kills its worker while it is pickled, unless others did so before."""

    def __init__(self, value, plan):
        self._value = value
        self._plan = plan

    def __reduce__(self):
        if self._plan.take():
            _kill()
        return _same, (self._value,)


def _same(value):
    return value


def _called_halfway(plan, function, args, kwargs):
    """Call a function, and end this process after its first line."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    code = getattr(inner, "__code__", None)
    lines = 0

    def traced(frame, event, _):
        nonlocal lines
        lines += event == "line"
        if (lines > 1 or event in ("return", "exception")) and plan.take():
            _kill()
        return traced

    before = sys.gettrace()
    if code is not None:
        sys.settrace(lambda frame, event, arg: traced if frame.f_code is code else None)
    try:
        value = function(*args, **kwargs)
    finally:
        sys.settrace(before)
    if code is None and plan.take():
        _kill()
    return value


def _with_nothing_left(left, function, args, kwargs):
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    limit = taken + left if before[1] == resource.RLIM_INFINITY else min(taken + left, before[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        return function(*args, **kwargs)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _take(size):
    """Take memory and wait for the end that it brings.

    Raises:
        RuntimeError: it did not come.
    """
    taken = bytearray(size)
    taken[::4096] = b"\1" * len(range(0, size, 4096))  # each page is there once it was written
    end = time.monotonic() + _END_LIMIT_S
    while time.monotonic() < end:
        time.sleep(_LOOK_S)
    raise RuntimeError(
        f"the worker took {len(taken)} bytes, and nothing ended it: give the pool a max_memory that is less than that"
    )
