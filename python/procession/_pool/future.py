"""The future of a call in a worker of a pool, `procession.futures.PoolFuture`."""

import os
import threading
from concurrent.futures import Future
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, RUNNING

from procession._pool import attention

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import TypeVar

    _R = TypeVar("_R")
else:
    _R = None

__all__ = ["PoolFuture"]


class PoolFuture(Future[_R]):
    """The future of a call in a worker; it can be cancelled while the call runs."""

    __module__ = "procession.futures"

    _result_of_pool = None

    def __init__(self) -> None:
        super().__init__()
        self._waiters = attention.Waiters()

    def result(self, timeout: float | None = None) -> "_R":
        """Wait for the outcome, `timeout` seconds at most (None: no limit; else TimeoutError); return the value of the
        call, or raise its exception, or CancelledError."""
        try:
            self._wait(timeout)
            return super().result(0)
        finally:
            del self  # which the exception's traceback would keep, and it the exception

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait as `result` does; return the call's exception, or None if it has a value."""
        try:
            self._wait(timeout)
            return super().exception(0)
        finally:
            del self

    def _wait(self, timeout):
        if self._state == FINISHED:
            return
        with self._condition:
            attention.wait_for(self._condition, self.done, timeout)

    @property
    def _condition(self):
        # Whatever is asked of a future, by `wait` and `as_completed` too, comes here first.
        if self._pid != os.getpid():
            self._leave_behind()
        return self._lock_and_waiters

    @_condition.setter
    def _condition(self, condition):
        self._lock_and_waiters = condition
        self._pid = os.getpid()

    def _leave_behind(self):
        """In a copy of the process that it belongs to, where its outcome does not come: have that as the outcome."""
        owner, self._pid = self._pid, os.getpid()
        self._lock_and_waiters = threading.Condition()  # a thread that stayed behind may have had the other
        if self._state == CANCELLED:
            self._state = CANCELLED_AND_NOTIFIED
        if self._state in (CANCELLED_AND_NOTIFIED, FINISHED):
            return
        self._waiters, self._done_callbacks, self._result_of_pool = [], [], None
        self._exception = RuntimeError(f"this future belongs to process {owner}: its outcome does not come here")
        self._state = FINISHED

    def cancel(self) -> bool:
        """Give the call up, whether it waits or runs: one that runs is interrupted, its worker killed if that does not
        help within half a second.

        Returns:
            Whether it had not ended.
        """
        if super().cancel():
            return True
        with self._condition:
            if self._state != RUNNING:
                return False
            self._state = CANCELLED
            self.set_running_or_notify_cancel()
            self._condition.notify_all()
            result = self._result_of_pool
        if result is not None:
            result.cancel()
        self._invoke_callbacks()  # type: ignore[attr-defined]
        return True
