"""The locks and semaphores in a server: whose process ends while it holds one leaves it to the next who wants it.

The next one to take a lock of the dead is told so, as with the locks of `procession` itself. Until somebody wants it,
it stays taken, so that another process may give it back, as it may where all live.
"""

import threading
import weakref

from procession._manager import holders

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# id of an object of the user's -> what stands in for it.
_standing_in: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()


class _Scope:
    if TYPE_CHECKING:
        acquire: Callable[..., bool]
        release: Callable[[], None]

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_exception):
        self.release()


class _Heritable(_Scope):
    """A lock or semaphore that goes on from an owner who has ended to the next one who wants it."""

    _waiting = 0
    if TYPE_CHECKING:
        _hand_on: Callable[[], None]

    def _wait(self, inner, blocking, timeout):
        with holders.notes:
            self._waiting += 1
            self._hand_on()
        try:
            return inner.acquire(blocking, timeout)
        finally:
            with holders.notes:
                self._waiting -= 1


class Lock(_Heritable):
    """As `threading.Lock`. `robust`: whoever gets it from a dead owner has OwnerDied raised, not a warning."""

    def __init__(self, robust=False, *, lock=None):
        self._lock = threading.Lock() if lock is None else lock
        self._robust = bool(robust)
        self._holder = None
        self._abandoned = False  # whether it is taken by nobody who lives
        self._orphaned = False
        self._owner, self._depth = None, 0  # what an RLock asks for

    def acquire(self, blocking=True, timeout=-1):
        """Take it and return True; False when it was not free (in time)."""
        lock = self._lock
        if (timeout != -1 or not lock.acquire(False)) and not self._wait(lock, blocking, timeout):
            return False
        self._begin(holders.acting_for())
        return True

    def _hand_on(self):
        if self._abandoned:
            self._abandoned, self._orphaned = False, True
            self._lock.release()

    def release(self):
        """Give it back, whoever took it; RuntimeError when it is free."""
        with holders.notes:
            self._give_back()

    def _give_back(self):
        if self._holder is not None:
            # A client has a lock once at most.
            self._holder.held.pop(self, None)
            self._holder = None
        self._abandoned = False
        self._lock.release()

    def locked(self):
        """Return whether it is taken."""
        return self._lock.locked()

    def holder_ended(self, client, _count):
        """The process that has it has ended."""
        with holders.notes:
            if self._holder is client:
                self._holder, self._abandoned = None, True
                if self._waiting:
                    self._hand_on()

    def undo_acquire(self, told):
        """The client that got it died before it learnt of that, and whether it was told that another one had."""
        with holders.notes:
            if self._holder is holders.acting_for()[0]:  # or it has gone to the next already
                if told:
                    self.orphan()
                self.release()

    def orphan(self):
        """Have the next one to get it told that its owner has died."""
        self._orphaned = True

    def _begin(self, owner):
        client = owner[0]
        with holders.notes:
            if client.ended or client.peer is not None:
                try:
                    client.hold(self)
                except holders.ClientGone:
                    self._lock.release()
                    raise
            else:  # the same, without a call
                client.held[self] = 1
            self._holder, self._owner, self._depth = client, owner, 1
            if not self._orphaned:
                return
            self._orphaned = False
        holders.tell(self._robust)

    # The methods that a condition calls of its lock.

    def _is_owned(self):
        return self._lock.locked()

    def _release_save(self):
        self.release()

    def _acquire_restore(self, _state):
        self.acquire()

    def _give_up(self, _state):
        """Undo `_acquire_restore`."""
        self.release()

    def __repr__(self):
        return f"<{'locked' if self.locked() else 'unlocked'} {type(self).__name__} of a manager>"


class RLock(Lock):
    """As `threading.RLock`, owned by a thread of a client, whatever connection that uses."""

    def acquire(self, blocking=True, timeout=-1):
        """Take it, once more if it is taken already, and return True; False when it was not to be had (in time)."""
        owner, lock = holders.acting_for(), self._lock
        if self._owner == owner:  # only its owner writes its own name there
            self._depth += 1
            return True
        if (timeout != -1 or not lock.acquire(False)) and not self._wait(lock, blocking, timeout):
            return False
        self._begin(owner)
        return True

    def release(self):
        """Give it back once; RuntimeError when this thread does not have it."""
        with holders.notes:
            if self._owner != holders.acting_for():
                raise RuntimeError("cannot release un-acquired lock")
            self._depth -= 1
            if self._depth == 0:
                self._owner = None
                self._give_back()

    def holder_ended(self, client, count):
        """The process that has it has ended."""
        with holders.notes:
            if self._holder is client:
                self._owner, self._depth = None, 0
            super().holder_ended(client, count)

    def _is_owned(self):
        return self._owner == holders.acting_for()

    def _release_save(self):
        with holders.notes:
            if not self._is_owned():
                raise RuntimeError("cannot release un-acquired lock")
            depth, self._depth = self._depth, 1
            self.release()
            return depth

    # Its owner may have it already: by a connection that has taken the place of a broken one.

    def _acquire_restore(self, depth):
        self.acquire()
        with holders.notes:
            self._depth += depth - 1

    def _give_up(self, depth):
        with holders.notes:
            self._depth -= depth - 1
            self.release()


class Semaphore(_Heritable):
    """As `threading.Semaphore`.

    The permits of a process that has ended come back when somebody wants one and there is none left, unless somebody
    gave a permit without having taken one: then the semaphore counts something else.
    """

    _make = threading.Semaphore

    def __init__(self, value=1, *, semaphore=None):
        self._semaphore = type(self)._make(value) if semaphore is None else semaphore
        self._is_held = True
        self._abandoned = 0  # how many permits those have who have ended

    def acquire(self, blocking=True, timeout=None):
        """Take a permit and return True; False when none was left (in time)."""
        quick = timeout is None and self._semaphore.acquire(False)
        if not quick and not self._wait(self._semaphore, blocking, timeout):
            return False
        with holders.notes:
            try:
                if self._is_held:
                    holders.acting_for()[0].hold(self)
            except holders.ClientGone:
                self._semaphore.release()
                raise
        return True

    def _hand_on(self):
        count, self._abandoned = self._abandoned, 0
        if count and self._is_held:
            self._semaphore.release(count)

    def release(self, n=1):
        """Give `n` permits; ValueError when a bounded one would have more than at first."""
        client, _thread = holders.acting_for()
        with holders.notes:
            self._semaphore.release(n)
            if client.held.get(self, 0) < n:
                self._is_held = False
            client.let_go(self, n)

    def undo_acquire(self, _told):
        """The client that got a permit died before it learnt of that."""
        with holders.notes:
            if not self._is_held or holders.acting_for()[0].held.get(self):
                self.release()

    def locked(self):
        """Return whether no permit is left."""
        return self._semaphore._value == 0

    def holder_ended(self, _client, count):
        """A process that has so many permits has ended."""
        with holders.notes:
            self._abandoned += count
            if self._waiting:
                self._hand_on()

    def __repr__(self):
        return f"<{type(self).__name__} of a manager, value={self._semaphore._value}>"


class BoundedSemaphore(Semaphore):
    """As `threading.BoundedSemaphore`."""

    _make = threading.BoundedSemaphore


class OfThreads(_Scope):
    """Stands in for a lock of the user's that only the thread can give back that took it: a thread of the server.

    That thread sees to it when its client has ended, as soon as it waits for nothing else.
    """

    def __init__(self, lock):
        self._lock = lock
        self._depth = threading.local()

    def __getattr__(self, name):
        return getattr(self._lock, name)

    def acquire(self, *args):
        """Take it as the lock does."""
        taken = self._lock.acquire(*args)
        if taken:
            try:
                holders.acting_for()[0].hold(self)
            except holders.ClientGone:
                self._lock.release()
                raise
            mine = vars(self._depth)
            mine["count"] = mine.get("count", 0) + 1
            holders.hold_by_thread(self)
        return taken

    def release(self):
        """Give it back as the lock does."""
        self._lock.release()
        self._depth.count -= 1
        holders.acting_for()[0].let_go(self)

    def holder_ended(self, _client, _count):
        """Nothing that this thread could do."""

    def is_held_here(self):
        """Return whether the calling thread has it."""
        return vars(self._depth).get("count", 0) > 0

    def leave(self):
        """The calling thread ends, and so has its client or the server."""
        for _ in range(vars(self._depth).pop("count", 0)):
            self._lock.release()


def undo_acquire(thing, told):
    """Give back what a client got that died before it learnt of that, and whether it was told that another one had."""
    undo = getattr(thing, "undo_acquire", None)
    if undo is None:
        thing.release()
    else:
        undo(told)


def stand_in(thing):
    """Return what clients use in place of `thing`, so that what they hold is known; `thing` itself as a rule."""
    if isinstance(thing, (_LOCK, *_SEMAPHORES, _RLOCK, threading.Condition)) and not hasattr(thing, "_of_manager"):
        with holders.notes:
            return _standing_in.get(id(thing)) or _standing_in.setdefault(id(thing), _new_stand_in(thing))
    return thing


def _new_stand_in(thing):
    if isinstance(thing, _LOCK):
        return Lock(lock=thing)
    if isinstance(thing, _SEMAPHORES):
        return Semaphore(semaphore=thing)
    return OfThreads(thing)


_LOCK = type(threading.Lock())
_RLOCK = type(threading.RLock())
_SEMAPHORES = (threading.Semaphore, threading.BoundedSemaphore)
