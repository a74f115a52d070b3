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
        _waiters: Any
        _release_save: Callable[[], Any]
        _acquire_restore: Callable[[Any], Any]

    def __init__(self, lock: "Any" = None) -> None:
        own: Any = RLock() if lock is None else itself(lock)
        super().__init__(own)
        self._let_go, self._take = self._release_save, self._acquire_restore
        self._release_save, self._acquire_restore = self._begin_wait, self._end_wait

    def locked(self):
        """Return whether the lock is taken."""
        return self._lock.locked()

    def wait(self, timeout=None):
        """Give the lock up, block until notified, take it again; False after `timeout` seconds."""
        woken = False
        client, _thread = holders.acting_for()
        try:
            woken = super().wait(timeout)
        except _Interrupted as error:
            woken = False
            if not error.wait.is_withdrawn:
                self.pass_on()
            raise
        except holders.ClientGone:
            woken = True  # or so it may be: who is woken for nothing waits again
            raise
        finally:
            if client.ended and woken:
                self.pass_on()
        return woken

    def _begin_wait(self):
        """Give the lock up for a wait, and note that it is to be taken again."""
        (client, thread), connection = holders.acting_for(), holders.served()
        if connection is None:  # the server itself waits
            return None, self._let_go()
        with holders.notes:
            if holders.has_hung_up(connection):  # an exception has ended the wait before it began
                self._waiters.pop()
                raise holders.ClientGone("nobody is there to wait")
            wait = client.waits[thread] = _Wait(self, self._waiters[-1])
            wait.state = self._let_go()
        return wait, wait.state

    def _end_wait(self, begun):
        """Take the lock again at the end of a wait, unless the client has it already."""
        wait, state = begun
        self._take(state)
        if wait is None:
            return
        client, thread = holders.acting_for()
        with holders.notes:
            if client.waits.get(thread) is wait:
                wait.has_lock = True
                return
            self._give_up(state)
        raise _Interrupted(wait)

    def resume(self):
        """Take the lock for a client whose wait was ended by an exception there, as often as it had it."""
        client, thread = holders.acting_for()
        with holders.notes:
            wait = client.waits.pop(thread, None)
            if wait is None or wait.condition is not self or wait.has_lock:
                return
        self._take(wait.state)
        # Whoever has the lock may look at those who wait.
        with contextlib.suppress(ValueError):  # it was notified: that goes to another one
            self._waiters.remove(wait.waiter)
            wait.is_withdrawn = True
            wait.waiter.release()

    def _give_up(self, state):
        if hasattr(self._lock, "_give_up"):
            self._lock._give_up(state)
        else:
            self._let_go()

    def undo_acquire(self, told):
        """The client that got the lock died before it learnt of that."""
        undo_acquire(self._lock, told)

    def undo_wait(self, woken, told):
        """The client died or gave up before it learnt that its wait was over, and whether it was told of a death."""
        client, thread = holders.acting_for()
        with holders.notes, contextlib.suppress(RuntimeError):  # it has gone to the next already
            wait = client.waits.get(thread)
            if wait is not None and wait.has_lock:
                wait.has_lock = False
                if told:
                    self._lock.orphan()
                self._give_up(wait.state)
        if woken:
            self.pass_on()

    def pass_on(self):
        """Wake the next one in place of one that has died."""
        with holders.ourselves(), self:
            self.notify()


class _Wait:
    """The wait of a client's thread for a condition, until that thread knows that it is over."""

    __slots__ = ("condition", "has_lock", "is_withdrawn", "state", "waiter")

    def __init__(self, condition, waiter):
        self.condition, self.waiter = condition, waiter
        self.state = None
        self.has_lock = self.is_withdrawn = False


class _Interrupted(holders.ClientGone):
    def __init__(self, wait):
        super().__init__("the wait was given up")
        self.wait = wait


def answered():
    """The client knows that the wait for which the calling thread acts is over."""
    client, thread = holders.acting_for()
    with holders.notes:
        wait = client.waits.get(thread)
        if wait is not None and wait.has_lock:
            del client.waits[thread]


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
        return sum(not party.look() for party in list(self._round.waiting.values()))

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
        this.waiting[number] = _Party(client, holders.served())
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
        for number, party in list(self.waiting.items()):
            if party.client.ended or (looking and party.look()):
                del self.waiting[number]


class _Party:
    """Who waits at a barrier."""

    def __init__(self, client, connection):
        self.client, self._connection = client, connection

    def look(self):
        """Return whether nobody waits any more: the process has ended, or an exception the wait."""
        return self.client.look() or self._connection is not None and holders.has_hung_up(self._connection)


def itself(lock):
    """Return the lock in this server that a proxy stands for."""
    from procession._manager.proxy import BaseProxy, _here

    if isinstance(lock, BaseProxy):
        server = _here(lock._token.address)
        if server is not None:
            return server.referents.get(lock._id).used
    return lock
