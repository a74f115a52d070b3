"""Measures how cost grows with what is open at once: pools, processes, queues; beside the standard library.

python -m benches.alive --write benches/alive.md
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benches.__main__ import machine
from benches.bare_memory import pss_mib
from benches.libraries import OURS, STANDARD
from benches.sweep.usage import family
from benches.table import shown
from benches.workload import START_METHODS, Library

COUNTS = {"pools of one worker": [1, 10, 100, 1000], "live processes": [1, 10, 100, 1000, 2000]}
COUNTS["queues"] = [1, 10, 100, 1000, 5000]
# Nobody waits longer for a number.
LIMIT_S = 600


def nothing(*_):
    """Does nothing."""


class Pools:
    """Pools, each of which has worked."""

    def __init__(self, context):
        self.context = context

    def make(self):
        """Makes one that has worked."""
        pool = self.context.Pool(1)
        pool.apply(nothing)
        return pool

    def use(self, pool):
        """Calls it once."""
        pool.apply(nothing)

    def end(self, pools):
        """Ends all of them."""
        for pool in pools:
            pool.terminate()
        for pool in pools:
            pool.join()


class Processes:
    """Processes that live until all are there."""

    def __init__(self, context):
        self.context = context
        self.waited_for, self.held = context.Pipe(False)

    def make(self):
        """Starts one."""
        process = self.context.Process(target=live, args=(self.waited_for, self.held))
        process.start()
        return process

    def use(self, process):
        """Asks whether it is alive."""
        process.is_alive()

    def end(self, processes):
        """Lets all of them end, and joins them."""
        self.held.close()
        for process in processes:
            process.join()


def live(waited_for, held):
    """Lives until the parent closes its end."""
    held.close()
    waited_for.poll(None)


class Queues:
    """Queues, each of which has been used."""

    def __init__(self, context):
        self.context = context

    def make(self):
        """Makes one that has been used."""
        queue = self.context.Queue()
        self.use(queue)
        return queue

    def use(self, queue):
        """Puts and gets."""
        queue.put(1)
        queue.get()

    def end(self, queues):
        """Closes all of them."""
        for queue in queues:
            queue.close()
            queue.join_thread()


KINDS = dict(zip(COUNTS, (Pools, Processes, Queues), strict=True))
UNITS = ("us to make one", "us to use one", "us to end one", "descriptors each", "KiB each")


def descriptors():
    """Returns how many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def memory():
    """Returns the KiB of memory, shared parts in parts, of this process and all that came of it."""
    total = 0.0
    for pid in family():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            total += 1024 * pss_mib(pid)
    return total


def measure(name, kind, count, start_method):
    """Returns the numbers of `UNITS` for so many at once."""
    kind = KINDS[kind](Library(name, start_method, False).context)
    first = [kind.make()]
    before, held = memory(), descriptors()
    begun = time.perf_counter()
    made = [kind.make() for _ in range(count)]
    took = [time.perf_counter() - begun]
    more, descriptors_now = memory() - before, descriptors() - held
    uses = max(1, 1000 // count)
    for step in (lambda: [kind.use(one) for _ in range(uses) for one in made], lambda: kind.end(made + first)):
        begun = time.perf_counter()
        step()
        took.append(time.perf_counter() - begun)
    times = took[0] / count, took[1] / count / uses, took[2] / (count + 1)
    return [*(seconds * 1e6 for seconds in times), descriptors_now / count, more / count]


def in_a_process(*what):
    """Returns what `measure` gives in a process of its own; none if it cannot, or takes too long."""
    command = [sys.executable, "-m", "benches.alive", "--one", json.dumps(what)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(f"{what}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def rows(kind, counts, start_method, rounds):
    """Yields the lines of a table: for each count, each number of both libraries, measured by turns."""
    yield f"| {kind} | {' | '.join(f'{unit}: {name}' for unit in UNITS for name in (STANDARD, OURS))} |"
    yield "|---" * (1 + 2 * len(UNITS)) + "|"
    for count in counts:
        found = {STANDARD: [], OURS: []}
        for _ in range(rounds):
            for name, numbers in found.items():
                numbers.append(in_a_process(name, kind, count, start_method))
        middle = {
            name: [median(column) for column in zip(*filter(None, numbers), strict=True)] or [None] * len(UNITS)
            for name, numbers in found.items()
        }
        cells = [shown(middle[name][place]) for place in range(len(UNITS)) for name in (STANDARD, OURS)]
        yield f"| {count:,} | {' | '.join(cells)} |"


def main():
    """Prints a table for each kind."""
    command = argparse.ArgumentParser(prog="python -m benches.alive", description=__doc__.splitlines()[0])
    command.add_argument("--rounds", type=int, default=3, help="measurements of each library (default: %(default)s)")
    command.add_argument("--start-method", choices=START_METHODS, default="fork")
    command.add_argument("--most", type=int, default=5000, help="no more at once (default: %(default)s)")
    command.add_argument("--write", type=Path, metavar="FILE", help="also write the tables to FILE")
    command.add_argument("--one", help=argparse.SUPPRESS)
    options = command.parse_args()
    if options.one:
        print(json.dumps(measure(*json.loads(options.one))))
        return
    how = f"`python -m benches.alive --rounds {options.rounds} --most {options.most}`"
    lines = ["# How cost grows with what is open at once\n", f"{machine()}\n\n{how}: {options.start_method}, medians."]
    for kind, counts in COUNTS.items():
        lines.append("")
        for line in rows(
            kind, [count for count in counts if count <= options.most], options.start_method, options.rounds
        ):
            lines.append(line)
            print(line, flush=True)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
