"""What every workload shares: its description, and the command line of a single measurement."""

import argparse
import importlib
import os
import time
from dataclasses import dataclass

START_METHODS = ("fork", "spawn", "forkserver")
WORKERS = 2


@dataclass
class Workload:
    """What a row measures.

    Attributes:
        title: the row's first column.
        unit: of the number.
        higher_is_better: True for rates, False for times.
        each_start_method: whether the row is measured for every start method.
        target: what procession aims at, as times better than the standard library; None when there is no such target.
    """

    title: str
    unit: str
    higher_is_better: bool = True
    each_start_method: bool = False
    target: float | None = None


class Library:
    """The library being measured.

    Attributes:
        name: of its package.
        context: its constructors, with the chosen start method.
        quick: whether a rough number is enough.
    """

    def __init__(self, name, start_method, quick):
        self.name = name
        self.context = importlib.import_module(name).get_context(start_method)
        self.quick = quick

    def count(self, usual):
        """How often to do something: a tenth of the usual when a rough number is enough."""
        return usual // 10 if self.quick else usual

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
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


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


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def main(measure):
    """Runs a workload's `measure(library)` as the command line says, and prints the number."""
    command = argparse.ArgumentParser(description=measure.__doc__)
    command.add_argument("library", choices=["procession", "multiprocessing"])
    command.add_argument("start_method", choices=START_METHODS)
    command.add_argument("--quick", action="store_true", help="measure a tenth as much")
    options = command.parse_args()
    print(measure(Library(options.library, options.start_method, options.quick)), flush=True)
