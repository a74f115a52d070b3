"""Which threads a pool has: other numbers by request, and those that follow load and quota."""

import functools
import itertools
import queue
import threading
from time import monotonic

from procession import util

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Aside", "Elastic", "Staff"]

# For how long the machine's quota is taken to be what it was, in seconds.
QUOTA_S = 0.5


class Staff:
    """The threads of a pool, whose number stays until somebody asks for another one.

    Args:
        steps: the queue that they take steps from.
        name: what their names begin with.
        work: what each calls, with its index.
    """

    def __init__(self, steps, name: str, work: "Callable[[int], object]") -> None:
        self._steps = steps
        self._names = (f"{name}-{number}" for number in itertools.count(1))
        self._work = work
        # Not a plain one: what is collected meanwhile may come back here.
        self._lock = threading.RLock()
        self._indexes: dict[threading.Thread, int] = {}
        self._closed = False
        self.members: list[threading.Thread] = []
        self.left: list[threading.Thread] = []  # who has no place any more, and may call its finalizer
        self.surplus = 0  # how many are to leave

    @property
    def count(self):
        """How many there are to be."""
        return len(self.members) - self.surplus

    def most(self):
        """Return how many there may be."""
        return self.count

    def put(self, step):
        """Have a step taken."""
        self._steps.put(step)

    def next(self):
        """Return the next step; None at the end of the pool."""
        return self._steps.get()

    def hire(self):
        """Start a thread, with the first index that nobody has.

        Raises:
            RuntimeError: it cannot be started.
        """
        with self._lock:
            taken = {*self._indexes.values()}
            index = next(index for index in itertools.count() if index not in taken)
            thread = threading.Thread(target=self._work, args=(index,), name=next(self._names), daemon=True)
            self._indexes[thread] = index
            self.members.append(thread)
            try:
                thread.start()
            except BaseException:
                self._strike(thread)
                raise

    def _strike(self, thread):
        self.members.remove(thread)
        del self._indexes[thread]

    def replace(self, thread):
        """Have another thread in the place of one whose task was given up; that one ends when the task returns."""
        with self._lock:
            if thread not in self._indexes:
                return
            self._strike(thread)
            if self.surplus:
                self.surplus -= 1
            elif not self._closed:
                self.hire()

    def resize(self, count):
        """Have `count` threads: start those that are missing, or have as many leave as soon as they have nothing in
        hand.

        Raises:
            OSError: one could not be started; then there are as many as could be.
        """
        with self._lock:
            if self._closed:
                return
            if count < self.count:
                self.surplus = len(self.members) - count
                for _ in range(self.surplus):
                    self._steps.put(_NOTHING)  # wakes one that waits
                return
            self.surplus = max(0, len(self.members) - count)
            for _ in range(count - len(self.members)):
                try:
                    self.hire()
                except RuntimeError as error:
                    raise OSError(f"a thread could not be added: {error}") from error

    def may_leave(self):
        """Return whether this thread has to leave, which has then no place any more."""
        with self._lock:
            thread = threading.current_thread()
            if not self.surplus or thread not in self._indexes:
                return False
            self.surplus -= 1
            self._leave(thread)
            return True

    def _leave(self, thread):
        self._strike(thread)
        self.left = [other for other in self.left if other.is_alive()]
        self.left.append(thread)

    def dismiss(self):
        """Let all go, once those steps are done that were there before."""
        with self._lock:
            self._closed = True
            for _ in self.members:
                self._steps.put(None)


class Elastic(Staff):
    """Threads that come while steps wait for one, and leave when they have had nothing to do.

    Args:
        rule: a `size.Elastic`.
    """

    def __init__(self, steps, name, work, rule: "Any") -> None:
        super().__init__(steps, name, work)
        self._rule = rule
        # How many wait for a step, or are about to, and how many steps for a thread: one less of each for a step taken.
        self._idle = 0
        self._waiting = 0
        self._quota = 0
        self._quota_until = 0.0

    def most(self):
        """Return how many there may be, which the machine's quota may say."""
        now = monotonic()
        if now >= self._quota_until:
            self._quota, self._quota_until = self._rule.ceiling(), now + QUOTA_S
        return self._quota

    def hire(self):
        """Start a thread, which is about to take a step."""
        with self._lock:
            super().hire()
            self._idle += 1

    def put(self, step):
        """Have a step taken, by one more thread if all are busy."""
        with self._lock:
            self._steps.put(step)
            self._waiting += 1
            if self._closed or self._idle >= self._waiting:
                return
            most = self.most()
            if self.count > most:
                self.resize(most)
            elif self.count < most:
                try:
                    self.hire()
                except RuntimeError as error:
                    util.sub_warning("a thread could not be added: %s", error)

    def next(self):
        """Return the next step; None at the end of the pool, or when this thread has waited for too long."""
        while True:
            # Those that have to be there wait without a limit.
            limit = self._rule.idle_timeout if self.count > self._rule.least else None
            try:
                step = self._steps.get(timeout=limit)
            except queue.Empty:
                with self._lock:
                    thread = threading.current_thread()
                    if self.count <= self._rule.least or not self._steps.empty() or thread not in self._indexes:
                        continue
                    self._idle -= 1
                    self._leave(thread)
                    return None
            with self._lock:
                self._idle -= 1
                self._waiting -= step is not None and type(step) is not Aside
            return step

    def back(self):
        """This thread is about to wait for a step."""
        with self._lock:
            self._idle += 1


class Aside(functools.partial):
    """A step that no thread is added for: it may come from anywhere."""


_NOTHING = Aside(bool)
