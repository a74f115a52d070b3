"""What stands in the server of objects: the locks, semaphores and conditions of a manager, with the errors that those
of a process have, and values and arrays, which guard themselves."""

import contextlib
import ctypes

from procession._manager import holders, locks, meeting

__all__ = ["BoundedSemaphore", "Cell", "Cells", "Condition", "Lock", "RLock", "Semaphore"]

_TOO_OFTEN = "semaphore or lock released too many times"
_NOT_OWNED = "attempt to release recursive lock not owned by thread"


class Lock(locks.Lock):
    """As the lock of a context."""

    def release(self):
        """Give it back; ValueError when it is free."""
        try:
            super().release()
        except RuntimeError:
            raise ValueError(_TOO_OFTEN) from None


class RLock(locks.RLock):
    """As the re-entrant lock of a context."""

    def release(self):
        """Give it back once; AssertionError when the caller does not have it."""
        try:
            super().release()
        except RuntimeError:
            raise AssertionError(_NOT_OWNED) from None


class Semaphore(locks.Semaphore):
    """As the semaphore of a context."""

    def get_value(self):
        """Return how many permits are left."""
        return self._semaphore._value


class BoundedSemaphore(locks.BoundedSemaphore, Semaphore):
    """As the bounded semaphore of a context."""

    def release(self, n=1):
        """Give a permit; ValueError when there were as many as at first."""
        try:
            super().release(n)
        except ValueError:
            raise ValueError(_TOO_OFTEN) from None


class Condition(meeting.Condition):
    """As the condition of a context."""

    def wait(self, timeout=None):
        """Give the lock up, block until notified, take it again; False after `timeout` seconds."""
        self._check("must acquire() condition before using wait()")
        return super().wait(timeout)

    def notify(self, n=1):
        """Wake up to `n` waiters."""
        self._check("lock is not owned")
        super().notify(n)

    def _check(self, text):
        if not self._lock._is_owned():
            raise AssertionError(text)


class Cell:
    """A value of a ctypes type.

    Args:
        ctype, arguments: the type, and what it is called with.
        lock: a proxy of the lock that guards it, None for none.
    """

    def __init__(self, ctype, arguments, lock):
        self._held = ctype(*arguments)
        self._guard = _guard(lock)

    def get(self):
        """Return the value, once nobody else has the lock."""
        with self._guard():
            return self._held.value

    def set(self, value):
        """Replace the value, once nobody else has the lock."""
        with self._guard():
            self._held.value = value


class Cells(Cell):
    """An array of values of a ctypes type.

    Args:
        ctype: the type of one.
        values: how many there are, or what they are at first.
        lock: as of `Cell`.
    """

    def __init__(self, ctype, values, lock):
        if isinstance(values, int):
            super().__init__(ctype * values, (), lock)
        else:
            super().__init__(ctype * len(values), values, lock)

    def __len__(self):
        return len(self._held)

    def __getitem__(self, index):
        with self._guard():
            return self._held[index]

    def __setitem__(self, index, value):
        with self._guard():
            self._held[index] = value

    def get_raw(self):
        """Return the bytes."""
        with self._guard():
            return ctypes.string_at(ctypes.addressof(self._held), ctypes.sizeof(self._held))

    def set_raw(self, data):
        """Replace the first bytes."""
        with self._guard():
            self._held.raw = data


def _guard(lock):
    """Return a function that returns what to use the value in."""
    if lock is None:
        return contextlib.nullcontext
    lock = meeting.itself(lock)

    @contextlib.contextmanager
    def guard():
        lock.acquire()
        try:
            if holders.take_told() is not None:  # who takes the lock itself is told that its owner has died
                lock.orphan()
            yield
        finally:
            lock.release()

    return guard
