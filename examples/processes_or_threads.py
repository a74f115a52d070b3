"""Shows, on this machine, how processes and threads differ: memory, CPU-bound work, waiting, the cost of a worker."""

import argparse
import os
import sys
import time
from pathlib import Path

import procession as multiprocessing
from procession.pool import ThreadPool

LOCKED = """\
Processes have a memory each and use every core; threads share one memory and, in Python code, one core.
CPU-bound: take processes. Waiting for disks and networks: threads are enough, and cost less."""
FREE = """\
Processes have a memory each, threads share one; this interpreter has no lock, so both use every core.
CPU-bound: threads do, where they change few objects that they share; take processes for code that may crash.
Waiting for disks and networks: threads are enough, and cost less."""

counter = 0


def add_one(_):
    """Changes a global of whatever process runs it."""
    global counter
    counter += 1


def compute(steps):
    """Pure Python: a thread that runs this holds the interpreter lock, in an interpreter that has one."""
    return sum(number * number for number in range(steps))


def wait_a_while(seconds):
    """Stands for a read from a disk or a network: the CPU is free meanwhile."""
    time.sleep(seconds)


def memory_kib(_=None):
    """What this process costs: shared pages are counted in part for each process that shares them (PSS)."""
    time.sleep(0.05)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return os.getpid(), next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def add_eight_times(pool=None):
    """What the global is in this process after eight tasks have added 1 to it."""
    global counter
    counter = 0
    list(pool.map(add_one, range(8)) if pool else map(add_one, range(8)))
    return counter


def timed(function, items, pool=None):
    """The seconds a map takes."""
    started = time.perf_counter()
    list(pool.map(function, items, 1) if pool else map(function, items))
    return f"{time.perf_counter() - started:.2f} s"


def main():
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--workers", type=int, default=multiprocessing.cpu_count(), help="(default: %(default)s)")
    command.add_argument("--steps", type=int, default=2_000_000, help="of each CPU-bound task (default: %(default)s)")
    options = command.parse_args()
    work, waits = [options.steps] * 2 * options.workers, [0.1] * 2 * options.workers

    with multiprocessing.Pool(options.workers) as processes, ThreadPool(options.workers) as threads:
        ways = (None, processes, threads)
        parent = memory_kib()[1]
        workers = dict(processes.map(memory_kib, range(4 * options.workers), 1))
        cost = f"{sum(workers.values()) / len(workers) / 1024:.1f} MiB"
        rows = [
            ("8 tasks add 1 to a global: it is then", *map(add_eight_times, ways)),
            (f"CPU-bound: {len(work)} loops of {options.steps:,} steps", *(timed(compute, work, way) for way in ways)),
            (f"waiting: {len(waits)} reads of 0.1 s", *(timed(wait_a_while, waits, way) for way in ways)),
            ("memory a worker costs", "-", cost, "a stack"),
        ]
    print(f"{options.workers} workers, the parent has {parent / 1024:.1f} MiB\n")
    print(f"{'':42}{'one by one':>12}{'processes':>12}{'threads':>12}")
    for title, *cells in rows:
        print(f"{title:42}" + "".join(f"{cell!s:>12}" for cell in cells))
    print("\n" + (LOCKED if getattr(sys, "_is_gil_enabled", lambda: True)() else FREE))


if __name__ == "__main__":
    main()
