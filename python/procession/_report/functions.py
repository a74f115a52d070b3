"""What is to be said of each function of a run."""

import math
from dataclasses import dataclass

from procession._report.run import DIED, RAISED, UNFINISHED, Run

__all__ = ["BINS", "FunctionSummary", "extents", "summaries"]

BINS = 30


@dataclass(frozen=True)
class FunctionSummary:
    """A function that pools of a run have called.

    Attributes:
        function: its name.
        tasks: how many tasks have run.
        failed, died: of these, how many raised, and how many were lost with their worker.
        took: seconds in which jobs of it were under way.
        busy: seconds in which its tasks ran, of all workers together.
        workers_busy: the share of the workers' time, while jobs of it were under way, in which its tasks ran.
        median, most, longest: seconds of a task: of half of them at most, of 95 % of them at most, of the longest.
        cpu, line: the shares of `busy` on a CPU and in line for one; None where that is not known. The rest is waiting
            for something else.
        returned: bytes of all results.
        histogram: how many tasks took so long, from the shortest to the longest, in steps of equal ratio.
        shortest: seconds of the shortest.
    """

    function: str
    tasks: int
    failed: int
    died: int
    took: float
    busy: float
    workers_busy: float
    median: float
    most: float
    longest: float
    cpu: float | None
    line: float | None
    returned: int
    histogram: tuple[int, ...]
    shortest: float


def extents(rows):
    """The spans in which jobs of these rows were under way: a list of (start, end) that do not overlap."""
    jobs: dict[int, tuple[float, float]] = {}
    for row in rows:
        start, end = jobs.get(row.job, (row.start, row.end))
        jobs[row.job] = (min(start, row.start), max(end, row.end))
    return joined(jobs.values())


def joined(spans):
    """Spans of time, those that touch as one."""
    whole: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((start, end))
    return whole


def summaries(run: Run) -> list[FunctionSummary]:
    """Summarize a run by functions, in the order in which they were first called."""
    return [_summary(run, name, rows) for name, rows in run.of_function().items()]


def _summary(run, name, rows):
    tasks = sum(row.count for row in rows)
    busy = sum(row.busy for row in rows)
    spans = extents(rows)
    took = sum(end - start for start, end in spans)
    offered = sum(_overlap(life, spans, run.seconds) for life in run.lives)
    known = [row for row in rows if row.cpu >= 0]
    measured = sum(row.busy for row in known)
    each = sorted((row.busy / row.count, row.count) for row in rows if row.outcome != UNFINISHED) or [(0.0, 1)]
    return FunctionSummary(
        function=name,
        tasks=tasks,
        failed=sum(row.count for row in rows if row.outcome == RAISED),
        died=sum(row.count for row in rows if row.outcome == DIED),
        took=took,
        busy=busy,
        workers_busy=min(1.0, busy / offered) if offered else 0.0,
        median=_percentile(each, 0.5),
        most=_percentile(each, 0.95),
        longest=each[-1][0],
        cpu=sum(row.cpu for row in known) / measured if measured else None,
        line=sum(row.line for row in known) / measured if measured else None,
        returned=sum(row.returned for row in rows),
        histogram=_histogram(each),
        shortest=each[0][0],
    )


def _overlap(life, spans, last):
    if life.ready is None:
        return 0.0
    end = last if life.ended is None else life.ended
    return sum(max(0.0, min(end, until) - max(life.ready, since)) for since, until in spans)


def _percentile(each, share):
    wanted = share * sum(count for _, count in each)
    for seconds, count in each:
        wanted -= count
        if wanted <= 1e-9:
            return seconds
    return each[-1][0]


def _histogram(each):
    lowest, highest = max(each[0][0], 1e-8), max(each[-1][0], 1e-8)
    width = math.log(highest / lowest) / BINS
    bins = [0] * BINS
    for seconds, count in each:
        at = int(math.log(max(seconds, lowest) / lowest) / width) if width > 1e-9 else BINS // 2
        bins[min(at, BINS - 1)] += count
    return tuple(bins)
