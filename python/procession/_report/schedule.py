"""What another order or another number of workers would make of a run: from its measured tasks, by list scheduling."""

import heapq

from procession._report.functions import joined

__all__ = ["job_time", "longest_first", "predicted"]

# Tasks beyond so many are taken for a mass that is shared out evenly: they are short.
_SINGLE = 5000


def longest_first(times, workers):
    """How long tasks take on that many workers, if the long ones begin first.

    Args:
        times: seconds of each task, a list.
        workers: how many, 1 or more.
    """
    times = sorted(times, reverse=True)
    heap = [0.0] * workers
    for seconds in times[:_SINGLE]:
        heapq.heapreplace(heap, heap[0] + seconds)
    heap.sort()
    return max(heap[-1], (sum(heap) + sum(times[_SINGLE:])) / workers)


def job_time(rows, workers, cpus, without_line=True):
    """How long a job would take on that many workers: not less than its work on the CPUs takes.

    Args:
        rows: its rows.
        workers, cpus: how many.
        without_line: whether the time in line for a CPU is left out, which depends on what else runs.
    """
    times, mass, cpu = [], 0.0, 0.0
    for row in rows:
        busy = row.busy - (max(row.line, 0.0) if without_line else 0.0)
        cpu += row.cpu if row.cpu >= 0 else busy
        if row.count == 1:
            times.append(busy)
        else:
            mass += busy
    alone = longest_first(times, workers) if times else 0.0
    return max(alone, (sum(times) + mass) / workers, cpu / cpus)


def predicted(run, workers):
    """How long the run would take with that many workers in each pool, on as many CPUs as there are here."""
    jobs = {}
    for row in run.rows:
        jobs.setdefault(row.job, []).append(row)
    spans = joined((min(row.start for row in rows), max(row.end for row in rows)) for rows in jobs.values())
    own = run.seconds - sum(end - start for start, end in spans)
    work = 0.0
    for start, end in spans:
        within = [rows for rows in jobs.values() if start <= rows[0].start < end]
        # Jobs at the same time share the workers.
        together = [row for rows in within for row in rows]
        work += job_time(together, workers, run.cpus)
    return max(0.0, own) + work
