"""A recorded run: who ran what when. Times are seconds since its beginning."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "DIED",
    "OUTCOMES",
    "RAISED",
    "RETURNED",
    "UNFINISHED",
    "Failure",
    "Job",
    "Life",
    "PoolNote",
    "Row",
    "Run",
    "thinned",
]

RETURNED, RAISED, DIED, UNFINISHED = range(4)
OUTCOMES = ("returned", "raised", "its worker died", "not finished")


class Row(NamedTuple):
    """Tasks of one job that a worker ran one after the other.

    Attributes:
        life: the worker, an index of `Run.lives`.
        job: an index of `Run.jobs`.
        outcome: what became of them, an index of `OUTCOMES`.
        first, count: the first of them, of those of the job, and how many they are.
        start, span: seconds since the run began; until the last ended.
        busy: seconds of that in which they ran.
        cpu, line: seconds of those on a CPU, and in line for one; -1 where that is not known.
        sent, returned: bytes of their records, and of their results.
    """

    life: int
    job: int
    outcome: int
    first: int
    count: int  # type: ignore[assignment]  # hides that of tuples
    start: float
    span: float
    busy: float
    cpu: float = -1.0
    line: float = -1.0
    sent: int = 0
    returned: int = 0

    @property
    def end(self):
        """When the last of them ended."""
        return self.start + self.span


@dataclass
class PoolNote:
    """A pool: the process that had it, its number there, when it was made, how many workers it has, started how."""

    process: int
    number: int
    made: float
    workers: int
    method: str


@dataclass
class Life:
    """A worker: its lane, which its successor takes, when it was started, was ready and ended (None: it did not)."""

    lane: int
    process: int
    started: float
    ready: float | None = None
    ended: float | None = None
    is_expected: bool = True
    memory: list[tuple[float, int]] = field(default_factory=list)  # bytes


@dataclass
class Job:
    """What one call of a pool's method made, or all calls of one function by `apply` and `apply_async`."""

    function: str
    method: str
    started: float
    total: int | None


@dataclass
class Failure:
    """A task that failed, and what is known of why."""

    job: int
    item: int
    outcome: int
    text: str
    lane: int
    seconds: float
    start: float
    is_tried_again: bool = False


@dataclass
class Run:
    """All of it."""

    program: str
    seconds: float
    about: dict
    pools: list[PoolNote] = field(default_factory=list)
    lanes: list[str] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    parent_memory: list[tuple[float, int]] = field(default_factory=list)
    is_whole: bool = True

    @property
    def cpus(self):
        """How many CPUs the program might use."""
        return max(1, int(self.about.get("cpus", 1)))

    @property
    def tasks(self):
        """How many tasks have run."""
        return sum(row.count for row in self.rows)

    @property
    def busy(self):
        """Seconds in which tasks ran, of all workers together."""
        return sum(row.busy for row in self.rows)

    @property
    def available(self):
        """Seconds in which workers were ready, of all together."""
        ends = ((life, self.seconds if life.ended is None else life.ended) for life in self.lives)
        return sum(max(0.0, end - life.ready) for life, end in ends if life.ready is not None)

    def of_function(self):
        """The rows of each function, by its name, in the order in which they were first called."""
        groups = defaultdict(list)
        for job in sorted(self.jobs, key=lambda job: job.started):
            groups[job.function]
        for row in self.rows:
            groups[self.jobs[row.job].function].append(row)
        return {name: rows for name, rows in groups.items() if rows}


def merged(row, after, resolution, name=None):
    """Two rows as one, if both are short and near; else None. `name` says which jobs count as one."""
    same = row.job == after.job or (name is not None and name[row.job] == name[after.job])
    if not (same and row.outcome == after.outcome and row.busy < resolution and after.busy < resolution):
        return None
    if row.life != after.life or after.start - row.end >= resolution:
        return None
    known = row.cpu >= 0 and after.cpu >= 0
    return row._replace(
        count=row.count + after.count,
        span=after.end - row.start,
        busy=row.busy + after.busy,
        cpu=row.cpu + after.cpu if known else -1.0,
        line=row.line + after.line if known else -1.0,
        sent=row.sent + after.sent,
        returned=row.returned + after.returned,
    )


def thinned(run, most):
    """At most about `most` of the rows: neighbours are merged that are shorter than a time that grows."""
    rows, resolution = sorted(run.rows, key=lambda row: (row.life, row.start)), 1e-4
    names = [job.function for job in run.jobs]
    while len(rows) > most and resolution < 2 * run.seconds + 1:
        kept: list[Row] = []
        # Failures stay apart for as long as that can be, jobs of one function a little less long.
        name = names if resolution > run.seconds / 2000 else None
        failures = resolution > run.seconds / 500
        for row in rows:
            may = kept and (failures or row.outcome == RETURNED)
            one = merged(kept[-1], row, resolution, name) if may else None
            if one is None:
                kept.append(row)
            else:
                kept[-1] = one
        rows, resolution = kept, 2 * resolution
    return rows
