"""Looking at the pools of this machine again and again: what has changed between two looks becomes rates and shares."""

import os
import time
from collections.abc import Collection
from typing import Any

from procession._pool import cpus
from procession._procession import Look

__all__ = ["Survey", "belonging", "of_machine", "of_memory", "running_jobs"]

# A task that has used no CPU for so long waits for something else.
WAITS_S = 1.0
# A worker that stood in line for a CPU for more than this share of a span is starved.
IN_LINE = 0.5
# A worker with more than this share of its `max_memory` is about to lose its task.
NEARLY_FULL = 0.9
# How many spans of a pool's past are kept.
PAST = 12


class Survey:
    """The pools that can be seen, as of the last look.

    Attributes:
        pools: a list of dicts, see `docs/seeing.md`.
        others: `(pid, version)` of processes whose procession is another.
        hidden: how many processes of this user could not be looked at.
        took: how many seconds the last look took.
    """

    def __init__(self):
        self._look = Look()
        self._before = {}
        self._past = {}
        self.pools, self.others, self.hidden, self.took = [], [], 0, 0.0

    def look(self) -> "Survey":
        """Look once more; returns itself."""
        began = time.monotonic()
        self.pools, self.others, self.hidden = self._look.around()
        self.took = time.monotonic() - began
        seen, past = {}, {}
        for pool in self.pools:
            key = pool["pid"], pool["serial"]
            for job in pool["jobs"]:
                self._of_job(job)
            for worker in pool["workers"]:
                self._of_worker(worker, pool, began, seen)
            done = sum(job["done"] + job["failed"] for job in pool["jobs"])
            before = self._past.get(key, ())
            past[key] = (*before, done)[-PAST - 1 :]
            steps = [max(0, later - sooner) for sooner, later in zip(past[key], past[key][1:], strict=False)]
            pool["past"] = steps
        self._before, self._past = seen, past
        return self

    def _of_job(self, job):
        outcomes = job["done"] + job["failed"]
        ran = job["age"] - (job["ended"] or 0.0)
        rate = outcomes / ran if ran > 0 else 0.0
        job["rate"] = rate
        job["left"] = None
        if job["ended"] is None and job["total"] is not None and rate > 0:
            job["left"] = (job["total"] - outcomes) / rate

    def _of_worker(self, worker, pool, now, seen):
        key = worker["pid"], worker["number"], worker["place"]
        times = worker["cpu_seconds"], worker["in_line_seconds"], worker["ran_seconds"]
        then, before = self._before.get(key, (now - worker["age"], (0.0, 0.0, 0.0)))
        seen[key] = now, times
        span = max(now - then, 1e-3)
        cpu, in_line, ran = (max(0.0, after - sooner) / span for after, sooner in zip(times, before, strict=True))
        worker["cpu_percent"] = 100 * max(cpu, ran)
        worker["in_line_percent"] = min(100.0, 100 * in_line)
        worker["note"] = _note(worker, pool)


def _note(worker, pool):
    """Return what is odd about a worker, in a few words, or an empty text."""
    kernel, task = worker["kernel_state"], worker["task"]
    if kernel == "T":
        return "stopped"
    if pool["max_memory"] and worker["rss"] > NEARLY_FULL * pool["max_memory"]:
        return "over 90 % of max_memory"
    if task is None:
        return ""
    if worker["in_line_percent"] > 100 * IN_LINE:
        return "in line for a CPU"
    if kernel == "D":
        return "in the disk"
    if task["seconds"] > WAITS_S and worker["cpu_percent"] < 1:
        return "waits, for no CPU"
    return ""


def belonging(survey: Survey, pids: Collection[int]) -> list[dict[str, Any]]:
    """Return the pools that have one of these processes, as their own or as a worker; all where none is given."""
    if not pids:
        return survey.pools
    return [
        pool for pool in survey.pools if pool["pid"] in pids or any(worker["pid"] in pids for worker in pool["workers"])
    ]


def running_jobs(pool: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the jobs of a pool that have not ended; where all have, the last one."""
    running = [job for job in pool["jobs"] if job["ended"] is None]
    return running or pool["jobs"][-1:]


def of_memory() -> tuple[int, int]:
    """Return how many bytes of memory this machine has, and how many of them are in use."""
    sizes = {}
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                name, _, rest = line.partition(":")
                sizes[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return 0, 0
    total = sizes.get("MemTotal", 0)
    return total, total - sizes.get("MemAvailable", total)


def of_machine() -> tuple[int, float]:
    """Return how many CPUs may be used here, and the load of the last minute."""
    try:
        return cpus.allowed(), os.getloadavg()[0]
    except OSError:
        return cpus.allowed(), 0.0
