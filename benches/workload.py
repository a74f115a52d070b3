"""What every workload shares: its description, and the command line of a single measurement."""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benches import libraries
from benches.aims import AtLeast, AtMost, Times, TimesBest

START_METHODS = ("fork", "spawn", "forkserver")
WORKERS = 2
# In the place of a library's name: what the machine gives without one.
LIMIT = "limit"
# The status of a measurement that says nothing, as the library does not offer what it needs.
NOT_OFFERED = 3
# By how much less there is to do when a rough number is enough.
QUICK_PART = 10
# How long the work that is measured has taken so far, without the start of libraries and workers.
worked_s = 0.0

Aim = Times | TimesBest | AtMost | AtLeast


@dataclass
class Workload:
    """What a row measures.

    Attributes:
        title: the row's first column.
        unit: of the number.
        higher_is_better: True for rates, False for times.
        each_start_method: whether the row is measured for every start method.
        whole: whether the number is that of all the work, as the time of a job is, or a rate where libraries make their
            chunks by the number of items; else less work gives it too.
        aim: what procession aims at, for all start methods or for each by its name; None when there is no such aim.
    """

    title: str
    unit: str
    higher_is_better: bool = True
    each_start_method: bool = False
    whole: bool = False
    aim: Aim | dict[str, Aim] | None = None

    def aim_of(self, start_method):
        """The aim under one start method, or None."""
        return self.aim.get(start_method) if isinstance(self.aim, dict) else self.aim

    def times_better(self, ours, theirs):
        """How many times better `ours` is than `theirs`; None when one of them is missing."""
        if not ours or not theirs:
            return None
        return ours / theirs if self.higher_is_better else theirs / ours


class Amount:
    """How much is measured, and how processes start.

    Attributes:
        start_method: "fork", "spawn" or "forkserver".
        quick: whether a rough number is enough.
    """

    def __init__(self, start_method, quick):
        self.start_method = start_method
        self.quick = quick

    def count(self, usual):
        """How often to do something: a tenth of the usual when a rough number is enough."""
        return usual // QUICK_PART if self.quick else usual


class Library(Amount):
    """The library being measured.

    Attributes:
        name: what it is called here.
        context: its constructors, with the chosen start method; those of multiprocessing that it has.
    """

    def __init__(self, name, start_method, quick, each_start_method=False):
        super().__init__(start_method, quick)
        self.name = name
        self.context = libraries.load(name, start_method, each_start_method)

    def own(self, name):
        """A constructor that the library does not borrow from another, for a row that is about `name`."""
        if name in getattr(self.context, "borrowed", ()):
            raise libraries.NotOffered(f"no {name} of its own")
        return getattr(self.context, name)

    def warm_pool(self, workers=WORKERS):
        """A pool whose workers have all started."""
        pool = self.context.Pool(workers)
        pool.map(pause, [0.01] * 4 * workers, 1)
        return pool


def pause(seconds):
    """A task that takes time and no CPU."""
    time.sleep(seconds)


def seconds(function, *arguments):
    """How long a call takes."""
    global worked_s
    started = time.perf_counter()
    function(*arguments)
    took = time.perf_counter() - started
    worked_s += took
    return took


def seconds_together(library, function, *arguments):
    """How long a call takes that another process makes at the same time: until both are done."""
    ready, go = library.context.Event(), library.context.Event()
    child = library.context.Process(target=_after, args=(ready, go, function, *arguments))
    child.start()
    ready.wait()
    go.set()
    started = time.perf_counter()
    function(*arguments)
    child.join()
    return time.perf_counter() - started


def _after(ready, go, function, *arguments):
    ready.set()
    go.wait()
    function(*arguments)


def in_bare_processes(function, items, processes=WORKERS):
    """Calls a function for every item, in processes that are only forked: each has every so many-th item."""
    children = []
    for first in range(processes):
        child = os.fork()
        if child == 0:
            for item in items[first::processes]:
                function(item)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


def printed_by(program, library, start_method, count):
    """The milliseconds that a program of this folder prints, which does its thing `count` times and imports little."""
    global worked_s
    printed_ms = number_of(program, library, start_method, count)
    worked_s += printed_ms / 1e3 * count
    return printed_ms


def number_of(program, *arguments):
    """The number that a program of this folder prints."""
    command = [sys.executable, Path(__file__).parent / program, *map(str, arguments)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def only(amount, *start_methods):
    """Refuses to tell a limit for other start methods than these."""
    if amount.start_method not in start_methods:
        raise libraries.NotOffered(f"no number for {amount.start_method}")


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def main(row, measure, limit=None):
    """Measures a row once, as the command line says, and prints the number, and the seconds that the work took.

    Args:
        row: its `Workload`.
        measure: takes a `Library`, returns the number.
        limit: takes an `Amount`, returns the number that the machine gives without any library; None when there is no
            such number.
    """
    command = argparse.ArgumentParser(description=measure.__doc__)
    command.add_argument("library", choices=[*libraries.LIBRARIES, *([LIMIT] if limit else [])])
    command.add_argument("start_method", choices=START_METHODS)
    command.add_argument("--quick", action="store_true", help="measure a tenth as much, where that gives the number")
    options = command.parse_args()
    try:
        if options.library == LIMIT:
            number = limit(Amount(options.start_method, options.quick))
        else:
            number = measure(Library(options.library, options.start_method, options.quick, row.each_start_method))
    except libraries.NotOffered as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_OFFERED)
    print(number, worked_s, flush=True)
