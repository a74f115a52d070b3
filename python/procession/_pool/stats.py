"""What goes on in a pool, at one moment."""

from dataclasses import dataclass

from procession._pool.current import Knowing
from procession._pool.texts import function_name

__all__ = ["PoolStats", "TaskStats", "WorkerStats"]


@dataclass(frozen=True)
class TaskStats:
    """A task that a worker runs.

    Attributes:
        function: the name of what it calls.
        index: its place in its job, from 0.
        seconds: for how long its worker has had it, as far as that has looked at the clock: every few milliseconds.
    """

    function: str
    index: int
    seconds: float


@dataclass(frozen=True)
class WorkerStats:
    """A worker of a pool.

    Attributes:
        place: its number, from 0; the one that replaces it has the same.
        name, pid: of its process.
        state: "starting", "idle", "working" or "leaving".
        done: how many tasks have their outcome from it.
        age: seconds since it was started.
        rss: bytes of memory that it has at hand, shared ones included.
        task: what it runs, or None.
    """

    place: int
    name: str
    pid: int
    state: str
    done: int
    age: float
    rss: int
    task: TaskStats | None


@dataclass(frozen=True)
class PoolStats:
    """A pool.

    Attributes:
        workers: its workers.
        waiting: how many tasks that are known have not begun.
        running: how many run.
        done: how many have returned.
        failed: how many have raised, or were lost with their worker.
        retried: how often one was tried again.
        deaths: how many workers died, without those that were replaced for their age or number of tasks.
        memory_limit: what holds workers to `max_memory`: "cgroup", the kernel, or "sampled", looks now and then; None
            without a limit.
    """

    workers: tuple[WorkerStats, ...]
    waiting: int
    running: int
    done: int
    failed: int
    retried: int
    deaths: int
    memory_limit: str | None = None

    def _repr_html_(self):
        from procession._pool import html

        return html.of_stats(self)


# Where programs find them.
for _class in (TaskStats, WorkerStats, PoolStats):
    _class.__module__ = "procession.pool"


def of(crew):
    """Return the statistics of a pool's crew."""
    states, waiting, (done, failed, retried, deaths) = crew.core.survey()
    members = dict(crew.members)
    workers = []
    for seat, pid, state, age, served, rss, described, seconds in states:
        member = members.get(seat)
        if member is None:
            continue
        task = None
        if described is not None:
            function, _, item = described[:3]
            if isinstance(function, Knowing):
                item = function.place_of(item)
            task = TaskStats(function_name(function), item, seconds)
        workers.append(WorkerStats(member.place, member.process.name, pid, state, served, age, rss, task))
    running = sum(worker.task is not None for worker in workers)
    return PoolStats(tuple(workers), waiting, running, done, failed, retried, deaths, crew.memory_limit)
