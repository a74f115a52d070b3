"""Measures pools of interpreters of one process (Python 3.14's `InterpreterPoolExecutor`) beside those of processes and
of threads, by turns.

python3.14 -m benches.interpreters --rounds 7
"""

import argparse
import concurrent.futures
import sys
import time
from statistics import median

import procession
from procession.pool import ThreadPool

from benches.bare_memory import pss_mib
from benches.interpreter_tasks import compute, nothing
from benches.sweep.usage import family

WORKERS = 2


class Executor:
    """A pool of the standard library's, with the methods that are measured here."""

    def __init__(self, kind):
        self.executor = kind(WORKERS)

    def apply(self, function, args):
        """Calls a function, and waits for its result."""
        return self.executor.submit(function, *args).result()

    def map(self, function, items, chunksize):
        """Calls a function for each item."""
        return list(self.executor.map(function, items, chunksize=chunksize))

    def end(self):
        """Lets the workers go."""
        self.executor.shutdown()


class Ours:
    """A pool of ours, with the same methods."""

    def __init__(self, pool):
        self.pool = pool
        self.apply, self.map = pool.apply, pool.map

    def end(self):
        """Lets the workers go."""
        self.pool.terminate()
        self.pool.join()


KINDS = {
    "interpreters": lambda: Executor(concurrent.futures.InterpreterPoolExecutor),
    "processes, fork": lambda: Ours(procession.get_context("fork").Pool(WORKERS)),
    "processes, forkserver": lambda: Ours(procession.get_context("forkserver").Pool(WORKERS)),
    "processes, spawn": lambda: Ours(procession.get_context("spawn").Pool(WORKERS)),
    "threads": lambda: Ours(ThreadPool(WORKERS)),
}
# What is done in a pool that has worked: text, how often, function of the pool.
ROWS = {
    "a call, us": (2000, lambda pool: [pool.apply(nothing, (1,)) for _ in range(2000)]),
    "an item of a map by ones, us": (5000, lambda pool: pool.map(nothing, range(5000), 1)),
    "an item of a map by hundreds, us": (100_000, lambda pool: pool.map(nothing, range(100_000), 100)),
    "100 tasks of Python code, each us": (100, lambda pool: pool.map(compute, [40_000] * 100, 1)),
    "4 MiB of bytes to and fro, us": (40, lambda pool: [pool.apply(nothing, (DATA,)) for _ in range(40)]),
}
DATA = bytes(4 << 20)


def measured(make):
    """Returns what one pool takes: for its start with a first result and its end, and for each row."""
    started = time.perf_counter()
    pool = make()
    pool.map(nothing, range(WORKERS), 1)
    ready = time.perf_counter()
    figures = {"start and first results, ms": (ready - started) * 1e3}
    for text, (count, work) in ROWS.items():
        begun = time.perf_counter()
        work(pool)
        figures[text] = (time.perf_counter() - begun) / count * 1e6
    begun = time.perf_counter()
    pool.end()
    figures["end, ms"] = (time.perf_counter() - begun) * 1e3
    return figures


def memory_mib(make):
    """Returns what the workers of a pool add to the memory of this process and all that came of it, each."""
    before = family_mib()
    pool = make()
    pool.map(nothing, range(WORKERS), 1)
    added = family_mib() - before
    pool.end()
    return added / WORKERS


def family_mib():
    """Returns the memory of this process and all that came of it; what several share is counted in part."""
    return sum(map(pss_mib, family()))


def main():
    """Prints a table: a row a measurement, a column a kind of pool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured, by turns")
    rounds = parser.parse_args().rounds
    if not hasattr(concurrent.futures, "InterpreterPoolExecutor"):
        sys.exit("Python 3.14 or newer has pools of interpreters; this is " + sys.version.split()[0])
    memory = {name: memory_mib(make) for name, make in KINDS.items()}
    rows: dict = {}
    for _ in range(rounds):
        for name, make in KINDS.items():
            for text, figure in measured(make).items():
                rows.setdefault(text, {}).setdefault(name, []).append(figure)
    print("| |", " | ".join(KINDS), "|")
    print("|---" * (len(KINDS) + 1) + "|")
    for text, figures in rows.items():
        print(f"| {text} |", " | ".join(f"{median(figures[name]):,.1f}" for name in KINDS), "|")
    print("| memory of a worker, MiB |", " | ".join(f"{memory[name]:.1f}" for name in KINDS), "|")


if __name__ == "__main__":
    main()
