"""Where clients wait for each other in a server: a condition and a barrier, for both of which the dead do not count."""

import contextlib
import threading

from procession._manager import holders
from procession._manager.locks import RLock, undo_acquire

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Condition(threading.Condition):
    """As `threading.Condition`; `lock` may be a proxy of a lock in this server."""

    _of_manager = True
    if TYPE_CHECKING:
        _lock: Any
        _release_save: Callable[[], Any]

    def __init__(self, lock: "Any" = None) -> None:
        own: Any = RLock() if lock is None else itself(lock)
        super().__init__(own)

    def locked(self):
        """Return whether the lock is taken."""
        return self._lock.locked()

    def wait(self, timeout=None):
        """Give the lock up, block until notified, take it again; False after `timeout` seconds."""
        woken = False
        client, _thread = holders.acting_for()
        try:
            woken = super().wait(timeout)
        except holders.ClientGone:
            woken = True  # or so it may be: who is woken for nothing waits again
            raise
        finally:
            if client.ended and woken:
                self.pass_on()
        return woken

    def undo_acquire(self, told):
        """The client that got the lock died before it learnt of that."""
        undo_acquire(self._lock, told)

    def undo_wait(self, woken, told):
        """The client died before it learnt that its wait was over, and whether it was told that another one had."""
        with holders.notes, contextlib.suppress(RuntimeError):  # it has gone to the next already
            if told:
                self._lock.orphan()
            self._release_save()
        if woken:
            self.pass_on()

    def pass_on(self):
        """Wake the next one in place of one that has died."""
        with holders.ourselves(), self:
            self.notify()


class Barrier:
    """As `threading.Barrier`; parties that have died while they waited are not counted."""

    def __init__(self, parties, action=None, timeout=None):
        if parties < 1:
            raise ValueError(f"parties must be 1 or more, not {parties}")
        self.parties = parties
        self._action, self._timeout = action, timeout
        self._changed = threading.Condition(threading.Lock())
        self._round = _Round()
        self.broken = False

    @property
    def n_waiting(self):
        """How many wait."""
        return sum(not client.look() for client in list(self._round.waiting.values()))

    def wait(self, timeout=None):
        """Block until all parties wait; return this one's number, from 0 to parties - 1.

        Raises BrokenBarrierError when the barrier breaks, or is reset, meanwhile.
        """
        client, _thread = holders.acting_for()
        timeout = self._timeout if timeout is None else timeout
        with self._changed:
            if self.broken:
                raise threading.BrokenBarrierError
            this = self._round
            this.forget_the_dead(looking=len(this.waiting) + 1 >= self.parties)
            number = next(number for number in range(self.parties) if number not in this.waiting)
            if len(this.waiting) + 1 < self.parties:
                self._stay(this, number, client, timeout)
            else:
                self._go_on(this)
            return number

    def _go_on(self, this):
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self._break()
            raise
        this.is_over = True
        self._round = _Round()
        self._changed.notify_all()

    def _stay(self, this, number, client, timeout):
        this.waiting[number] = client
        client.hold(self)
        try:
            over = self._changed.wait_for(lambda: this.is_over or this.is_broken or client.ended, timeout)
        finally:
            client.let_go(self)
        if this.is_over:
            return
        if client.ended:
            raise holders.ClientGone("the process that waited at a barrier has ended")
        if not over:
            self._break()
        raise threading.BrokenBarrierError

    def _break(self):
        self.broken = True
        self._round.is_broken = True
        self._changed.notify_all()

    def abort(self):
        """Break the barrier: waiters get BrokenBarrierError."""
        with self._changed:
            self._break()

    def reset(self):
        """Make it whole and empty again: waiters get BrokenBarrierError."""
        with self._changed:
            self._round.is_broken = True
            self._round = _Round()
            self.broken = False
            self._changed.notify_all()

    def holder_ended(self, _client, _count):
        """A process that waits here has ended."""
        # Not by this thread: whoever has the lock of the barrier may wait for the one that the caller has.
        threading.Thread(target=self._wake, daemon=True).start()

    def _wake(self):
        with self._changed:
            self._changed.notify_all()


class _Round:
    """The parties that meet at a barrier at one time."""

    def __init__(self):
        self.waiting = {}
        self.is_over = self.is_broken = False

    def forget_the_dead(self, looking):
        """Leave out who has ended; `looking`: also those of whom that is not known yet, which takes a look at each."""
        for number, client in list(self.waiting.items()):
            if client.ended or (looking and client.look()):
                del self.waiting[number]


def itself(lock):
    """Return the lock in this server that a proxy stands for."""
    from procession._manager.proxy import BaseProxy, _here

    if isinstance(lock, BaseProxy):
        server = _here(lock._token.address)
        if server is not None:
            return server.referents.get(lock._id).used
    return lock
