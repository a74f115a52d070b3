"""How many workers a pool has, once it has begun: other numbers by request, and those that follow load and quota."""

import time

from procession import util
from procession._checks import few, seconds
from procession._children.descriptor_limits import Room
from procession._pool import cpus
from procession._procession import lacking_descriptors

__all__ = ["Elastic", "resize", "tend"]

# How often a pool is looked at whose size may change, in seconds.
TEND_S = 0.05
# How long a worker that the pool can do without has nothing to do before it ends, where nobody said.
IDLE_TIMEOUT_S = 60.0


def resize(crew, count):
    """Have `count` workers: start those that are missing, tell those to leave that are too many.

    Raises:
        OSError: one could not be started; then there are as many as before, or as could be started.
    """
    with crew._lock:
        if crew.unusable:
            return
        before = crew._count
        try:
            _set(crew, count)
            _make_room(crew)
            crew.fill()
        except BaseException:
            staying = sum(not member.leaving for member in crew.members.values())
            _set(crew, min(count, max(before, staying)))
            raise
        _watch(crew)


def _set(crew, count):
    crew._count = count
    crew._terms.count = count
    crew._settings.divide(count if crew._elastic is None else max(count, crew._elastic.ceiling()))
    crew.core.resize(count)
    members = crew.members
    more = count - sum(not member.leaving for member in members.values())
    if more > 0:
        for index in [index for index, member in members.items() if member.surplus and not member.gone][:more]:
            members[index].surplus = members[index].leaving = False
            crew.core.stay(index)
    elif more < 0:
        idle = set(crew.core.unoccupied())
        staying = [index for index, member in members.items() if not member.leaving]

        def cost(index):  # of the end of a worker
            member = members[index]
            return member.ready, index not in idle, -member.place

        for index in sorted(staying, key=cost)[:-more]:
            members[index].surplus = members[index].leaving = True
            crew.core.retire(index)


def _make_room(crew):
    """Have as many descriptors as the workers need."""
    need = lacking_descriptors(crew._descriptors())
    if need:
        before, crew._room = crew._room, Room(need)
        if before is not None:
            before.close()


def _watch(crew):
    """Have the pool looked at while its size may change, or workers are to end, also where nobody waits for a task."""
    elastic = crew._elastic
    is_settled = not any(member.surplus for member in crew.members.values())
    is_settled = is_settled and (elastic is None or crew._count <= elastic.least)
    often = "always" if not is_settled else "with tasks" if elastic is not None else "no"
    if often == crew.looked_at:
        return
    crew.looked_at = often
    crew.core.tend_every(None if often == "no" else TEND_S, not is_settled)
    if not is_settled:
        crew.start_driver()


def tend(crew):
    """Look at the load of a pool, and have as many workers as that asks for."""
    with crew._lock:
        if crew.unusable:
            return
        elastic = crew._elastic
        if elastic is not None:
            waiting, workers = crew.core.load()
            staying = [worker for worker in workers if (m := crew.members.get(worker[0])) and not m.leaving]
            wanted = elastic.wanted(crew._count, waiting, staying, time.monotonic())
            if wanted != crew._count:
                try:
                    resize(crew, wanted)
                except OSError as error:
                    util.sub_warning("a worker could not be added: %s", error)
                return
        _watch(crew)


class Elastic:
    """How many workers a pool wants, by its load.

    Args:
        least: so many there always are.
        most: there are never more; None for as many as the CPUs that this process may use at that moment.
        idle_timeout: how many seconds without work end a worker.
    """

    def __init__(self, least, most, idle_timeout):
        self.least = least
        self.most = most
        self.idle_timeout = idle_timeout
        self._was_short = False
        self._idle = {}  # by seat: how many tasks that worker has done, and since when it has had none

    def ceiling(self):
        """Return how many there may be now."""
        return self.most if self.most is not None else max(self.least, cpus.budget())

    def wanted(self, count, waiting, workers, now):
        """Return how many workers there should be.

        Args:
            count: how many there are to be so far.
            waiting: how many tasks wait.
            workers: of each its seat, how many tasks it has done, and whether it is ready and has none.
            now: the time, in seconds.
        """
        before, self._idle = self._idle, {}
        for seat, done, is_idle in workers:
            if is_idle and not waiting:
                known = before.get(seat)
                self._idle[seat] = known if known is not None and known[0] == done else (done, now)
        ceiling = self.ceiling()
        if count > ceiling:
            return ceiling
        is_short = waiting > 0 and not any(is_idle for _, _, is_idle in workers)
        was_short, self._was_short = self._was_short, is_short
        if is_short and was_short and len(workers) >= count:
            return min(ceiling, count + min(count, waiting))
        rested = sum(now - since >= self.idle_timeout for _, since in self._idle.values())
        return min(count, max(self.least, count - rested))


def elastic(processes, least, most, idle_timeout):
    """Check the options that say how many workers there may be; return how many there are at first, and an `Elastic`.

    Raises:
        TypeError, ValueError: they make no sense.
    """
    if processes is not None:
        processes = few(processes, "the number of processes")
    most = processes if most is None else few(most, "max_workers")
    least = 1 if least is None else few(least, "min_workers")
    if most is not None and least > most:
        raise ValueError(f"min_workers={least} is more than max_workers={most}: there can be no such pool")
    limit = seconds(idle_timeout)
    limit = IDLE_TIMEOUT_S if limit is None else limit
    if not 0 <= limit < 3e9:
        raise ValueError(f"idle_timeout must be 0 seconds or more and finite, not {idle_timeout!r}")
    found = Elastic(least, most, limit)
    first = least if processes is None or most == processes else processes
    if not least <= first <= found.ceiling():
        raise ValueError(f"a pool of {least} to {found.ceiling()} workers cannot begin with {first}")
    return first, found
