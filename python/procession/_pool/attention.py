"""Waits for threads, by the means of `threading`, that a signal ends whenever it comes to the main thread.

The interpreter only notes a signal when it comes; its handler runs when the main thread looks, or when the signal
breaks off the wait that this thread is in. One that comes after the last look and before the wait has begun, or that
another thread gets, breaks off nothing: the handler would run when the wait is over. So the main thread looks now and
then.
"""

import queue
import threading
from _thread import get_ident
from time import monotonic

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Event", "Waiters", "acquire", "join", "take", "wait_for"]

# The longest wait of the main thread without a look.
LOOK_S = 0.2


def _repeat(wait, timeout):
    """Call `wait(seconds)`, which is told how long it may take (None: for ever), until it returns True; False after
    `timeout` seconds."""
    most = LOOK_S if get_ident() == threading.main_thread().ident else None
    until = None if timeout is None else monotonic() + timeout
    while True:
        left = most
        if until is not None:
            left = max(0.0, until - monotonic())
            left = left if most is None else min(most, left)
        if wait(left):
            return True
        if until is not None and monotonic() >= until:
            return False


def wait_for(condition, is_met, timeout=None):
    """As `condition.wait_for`; who calls has its lock."""
    return _repeat(lambda seconds: condition.wait_for(is_met, seconds), timeout)


def acquire(lock, timeout):
    """Take a lock; False if it cannot be had in `timeout` seconds (None: no limit)."""
    return _repeat(lambda seconds: lock.acquire(timeout=-1 if seconds is None else seconds), timeout)


def join(thread, timeout):
    """Wait for the end of a thread, at most `timeout` seconds (None: no limit)."""

    def wait(seconds):
        thread.join(seconds)
        return not thread.is_alive()

    _repeat(wait, timeout)


def take(source):
    """Return the next object from a `queue.Queue`, when there is one."""
    taken: list = []

    def wait(seconds):
        try:
            taken.append(source.get(timeout=seconds))
        except queue.Empty:
            return False
        return True

    _repeat(wait, None)
    return taken.pop()


class Event(threading.Event):
    """As `threading.Event`."""

    def wait(self, timeout: "float | None" = None) -> bool:
        """Wait until it is set, at most `timeout` seconds; return whether it is."""
        return _repeat(super().wait, timeout)


class Waiters(list):
    """Waiters for a future, among others: `concurrent.futures.wait` and `as_completed` append what has an event, and
    wait for that afterwards."""

    def append(self, waiter: "Any") -> None:
        """Have one more wait, by an event of ours."""
        if type(waiter.event) is threading.Event:
            waiter.event = Event()
        super().append(waiter)
