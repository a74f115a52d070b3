"""Locks, semaphores, conditions, events and barriers between processes.

All of them live in shared memory and outlive any process that uses them; the engine's `sync` room has the protocols.
"""

import errno
import threading
import time

from procession import _procession as engine, process, reduction
from procession._checks import Signature, whole
from procession._notices import ProcessionWarning

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from procession.context import BaseContext

    _R = TypeVar("_R")

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "OwnerDied", "RLock", "Semaphore"]

SEM_VALUE_MAX = engine.Semaphore.MOST

# How many can wait for one condition with a place of their own; more may wake without a reason.
_PLACES = 63


class OwnerDied(ProcessionWarning, RuntimeWarning):
    """The process that held a lock ended without releasing it: what the lock guards may be half changed."""


def _pass_on(primitive, *rest):
    """Return what rebuilds a primitive in the child that is being started.

    Raises:
        RuntimeError: no child is being started; a primitive travels in no other way.
    """
    process.assert_spawning(primitive)
    descriptor, place, size = primitive._share()
    return _rebuild, (type(primitive), reduction.DupFd(descriptor), place, size, *rest)


def _rebuild(cls, descriptor, place, size, *rest):
    return cls._rebuilt(engine.Cell.open(descriptor.detach(), place, size), *rest)


class SemLock:
    """What locks and semaphores have in common, beyond their engine class."""

    if TYPE_CHECKING:  # as of the engine's class
        locked: Callable[[], bool]
        _is_mine: Callable[[], bool]
        _count: Callable[[], int]

    @staticmethod
    def _make_name():
        # Semaphores have no name anywhere: the kernel frees them with the last process.
        return None

    @property
    def _semlock(self):
        return self

    @property
    def name(self) -> None:
        """None: it has no name outside of its processes."""
        return None

    def _holder(self):
        """Return who holds the lock, in the words of `repr`."""
        if self._is_mine():
            name = process.current_process().name
            thread = threading.current_thread().name
            return name if thread == "MainThread" else f"{name}|{thread}"
        if not self.locked():
            return "None"
        return "SomeOtherThread" if self._count() > 0 else "SomeOtherProcess"


class Lock(engine.Lock, SemLock):
    """A lock that any process or thread may release. The body of a `with` statement holds it.

    Args:
        robust: when its owner has died, `acquire` raises `OwnerDied`, holding the lock, instead of warning.
        ctx: the context it is for.
    """

    __signature__ = Signature()

    def __new__(cls, *args, robust=False, ctx=None, **kwds):  # the arguments of a subclass are its __init__'s affair
        return super().__new__(cls, engine.Cell.create(cls.BYTES), robust)

    def __init__(self, *, robust: bool = False, ctx: "BaseContext | None" = None) -> None:
        pass

    @classmethod
    def _rebuilt(cls, cell, robust):
        return engine.Lock.__new__(cls, cell, robust)

    def __reduce__(self):
        return _pass_on(self, self._robust)

    def __repr__(self):
        return f"<{type(self).__name__}(owner={self._holder()})>"


class RLock(engine.RLock, SemLock):
    """A lock that its owner, a thread, may acquire again, and must release as often. The body of a `with` statement
    holds it.

    Args:
        robust: when its owner has died, `acquire` raises `OwnerDied`, holding the lock, instead of warning.
        ctx: the context it is for.
    """

    __signature__ = Signature()

    def __new__(cls, *args, robust=False, ctx=None, **kwds):  # the arguments of a subclass are its __init__'s affair
        return super().__new__(cls, engine.Cell.create(cls.BYTES), robust)

    def __init__(self, *, robust: bool = False, ctx: "BaseContext | None" = None) -> None:
        pass

    @classmethod
    def _rebuilt(cls, cell, robust):
        return engine.RLock.__new__(cls, cell, robust)

    def __reduce__(self):
        return _pass_on(self, self._robust)

    def __repr__(self):
        holder = self._holder()
        count = self._count() if self._is_mine() else 0 if holder == "None" else "nonzero"
        return f"<{type(self).__name__}({holder}, {count})>"


class Semaphore(engine.Semaphore, SemLock):
    """A counter of permits: `acquire` takes one or waits for it, `release` gives one.

    Args:
        value: the permits at the beginning.
        ctx: the context it is for.

    Raises:
        TypeError: `value` is no integer.
        OSError, OverflowError: it is negative, or above `SEM_VALUE_MAX`; both are ValueErrors, too.
    """

    def __new__(cls, value=1, *, ctx=None):
        return super().__new__(cls, engine.Cell.create(cls.BYTES), _permits(value))

    def __init__(self, value: int = 1, *, ctx: "BaseContext | None" = None) -> None:
        pass

    @classmethod
    def _rebuilt(cls, cell):
        return engine.Semaphore.__new__(cls, cell)

    def __reduce__(self):
        return _pass_on(self)

    def get_value(self) -> int:
        """Return how many permits are left."""
        return self._get_value()

    def __repr__(self):
        return f"<{type(self).__name__}(value={self._get_value()})>"


class BoundedSemaphore(Semaphore):
    """A semaphore that cannot be released above its first value: that is a ValueError. Its arguments are those of
    `Semaphore`."""

    def __new__(cls, value=1, *, ctx=None):
        value = _permits(value)
        return engine.Semaphore.__new__(cls, engine.Cell.create(cls.BYTES), value, value)

    def __repr__(self):
        return f"<{type(self).__name__}(value={self._get_value()}, maxvalue={self._most})>"


class _Count:
    """A number that tests and `repr` ask a condition for."""

    def __init__(self, count):
        self.get_value = count


def _permits(value):
    number = whole(value, "the value of a semaphore")
    if 0 <= number <= SEM_VALUE_MAX:
        return number
    from procession._exceptions import LargeNumber, NegativeNumber

    text = f"the value of a semaphore lies between 0 and {SEM_VALUE_MAX}, not at {number}"
    raise NegativeNumber(errno.EINVAL, text) if number < 0 else LargeNumber(text)


class Condition(engine.Condition):
    """A condition variable: wait, holding a lock, until another process notifies.

    Args:
        lock: a `Lock` or `RLock` of this package; without one, a new `RLock`.
        ctx: the context it is for.

    Raises:
        TypeError: another kind of lock; what is none at all is an AttributeError, too.
    """

    def __new__(cls, lock=None, *, ctx=None):
        if lock is not None and not hasattr(lock, "acquire"):
            from procession._exceptions import NoLock

            raise NoLock(f"a condition needs a Lock or an RLock of this package, not {type(lock).__name__}")
        cell = engine.Cell.create(cls.bytes(_PLACES))
        return super().__new__(cls, cell, RLock(ctx=ctx) if lock is None else lock, False)

    acquire: "Callable[..., bool]"
    release: "Callable[[], None]"

    def __init__(self, lock: "Lock | RLock | None" = None, *, ctx: "BaseContext | None" = None) -> None:
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    @classmethod
    def _rebuilt(cls, cell, lock):
        condition: Condition = engine.Condition.__new__(cls, cell, lock, True)
        condition.acquire = lock.acquire
        condition.release = lock.release
        return condition

    def __reduce__(self):
        return _pass_on(self, self._lock)

    # A waiter enters and leaves the list in one step, so sleepers that have woken are never counted.
    @property
    def _sleeping_count(self):
        return _Count(self._waiting)

    @property
    def _woken_count(self):
        return _Count(lambda: 0)

    @property
    def _wait_semaphore(self):
        return _Count(lambda: 0)

    def __repr__(self):
        return f"<{type(self).__name__}({self._lock!r}, {self._waiting()})>"

    def wait_for(self, predicate: "Callable[[], _R]", timeout: float | None = None) -> "_R":
        """Wait until `predicate()`, called with the lock held, is true; return its last answer.

        Args:
            timeout: for how many seconds at most, None for no limit; then the answer is false.

        Raises:
            AssertionError: it has to wait, and this thread does not hold the lock.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not (answer := predicate()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return answer


class Event(engine.Event):
    """A flag that processes wait for.

    Args:
        ctx: the context it is for.
    """

    __signature__ = Signature()

    def __new__(cls, *args, ctx=None, **kwds):
        return super().__new__(cls, engine.Cell.create(cls.BYTES))

    def __init__(self, *, ctx: "BaseContext | None" = None) -> None:
        pass

    @classmethod
    def _rebuilt(cls, cell):
        return engine.Event.__new__(cls, cell)

    def __reduce__(self):
        return _pass_on(self)

    def __repr__(self):
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


class Barrier(engine.Barrier):
    """A point where a number of parties meet before any goes on.

    Args:
        parties: how many meet; the dead among those who came are not counted.
        action: called by one of them when all have come.
        timeout: seconds that `wait` waits when it is not told otherwise; None for no limit.
        ctx: the context it is for.

    Raises:
        TypeError, ValueError: `parties` is no number of parties.
    """

    _action: "Callable[[], object] | None"
    _timeout: float | None

    def __new__(cls, parties, action=None, timeout=None, *, ctx=None):
        if not 1 <= whole(parties, "parties") <= cls.MOST:
            raise ValueError(f"parties must be 1 to {cls.MOST}, as many threads as there can be, not {parties}")
        return super().__new__(cls, engine.Cell.create(cls.bytes(parties)), parties)

    def __init__(
        self,
        parties: int,
        action: "Callable[[], object] | None" = None,
        timeout: float | None = None,
        *,
        ctx: "BaseContext | None" = None,
    ) -> None:
        self._action = action
        self._timeout = timeout

    @classmethod
    def _rebuilt(cls, cell, action, timeout):
        barrier: Barrier = engine.Barrier.__new__(cls, cell)
        barrier._action = action
        barrier._timeout = timeout
        return barrier

    def __reduce__(self):
        return _pass_on(self, self._action, self._timeout)

    def __repr__(self):
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: {state}>"

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have come.

        Args:
            timeout: for how many seconds at most, which breaks the barrier; None for what it was made with.

        Returns:
            An index from 0 to parties - 1, another for each party.

        Raises:
            BrokenBarrierError: it is or becomes broken: by `abort`, `reset`, a failed action, or a wait that ran out
                of time.
        """
        if timeout is None:
            timeout = self._timeout
        arrival = self._arrive(timeout)
        if arrival is None:
            raise threading.BrokenBarrierError
        last, place = arrival
        if not last:
            if not self._wait(place, timeout):
                raise threading.BrokenBarrierError
        else:
            try:
                if self._action:
                    self._action()
            except BaseException:
                self._break_up()
                raise
            self._open()
        return place.index

    def abort(self) -> None:
        """Break the barrier: who waits or comes gets BrokenBarrierError."""
        self._send_away(True)

    def reset(self) -> None:
        """Mend the barrier; who waits gets BrokenBarrierError."""
        self._send_away(False)
