"""With and without, by turns, in one program and with one pool: what is looked at, drawn, recorded.

Each is measured by the clock, and by the CPU time of the program and its workers: that holds on a loaded machine, too.
"""

import contextlib
import functools
import glob
import os
import signal
import statistics
import subprocess
import sys
import time

import procession
import psutil

__all__ = ["ROWS", "main"]

WORKERS = 2
ROWS = {}
LOOKER = """
import time
from procession.cli.survey import Survey
from procession.cli.table import lines_of
survey = Survey()
while True:
    lines_of(survey.look().pools, survey, 110)
    print("looked", flush=True)
    time.sleep(1)
"""
MAP = """
import sys, time
import procession
with procession.Pool(2) as pool:
    pool.map(abs, range(1000))
    for line in sys.stdin:
        began = time.perf_counter()
        pool.map(abs, range(int(line)))
        print(time.perf_counter() - began, flush=True)
"""


def empty(number):
    """A task that does nothing."""
    return number


def compute(count):
    """A task that always computes the same; by a clock it would do less where others have its CPU."""
    return sum(range(count))


def twenty_us():
    """Return the number for which `compute` takes 20 µs here."""
    count, times = 1000, []
    for _ in range(2000):
        began = time.perf_counter()
        compute(count)
        times.append(time.perf_counter() - began)
    return int(count * 20e-6 / min(times))


def row(text, goal):
    """Register a row: it gives two functions, without and with what costs; `goal` is the most that it may."""

    def register(function):
        ROWS[function.__name__] = contextlib.contextmanager(function), text, goal
        return function

    return register


def _maps(pool, function, items, within=contextlib.nullcontext, **options):
    def without():
        pool.map(function, items)

    def with_it():
        with within():
            pool.map(function, items, **options)

    return without, with_it


@row("the board, not looked at: a map of 1 M empty tasks, beside another build", 1.02)
def board(pool, part, before):
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(_far(python)) for python in (before, sys.executable)]
        yield tuple(functools.partial(far, 1_000_000 // part) for far in both)


@contextlib.contextmanager
def _far(python):
    command = [python, "-c", MAP]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:

        def run(count):
            child.stdin.write(f"{count}\n")
            child.stdin.flush()
            if not child.stdout.readline():
                raise RuntimeError(f"{python} has ended")

        try:
            yield run
        finally:
            child.stdin.close()


@row("`procession top` at one look a second: a map of 1 M empty tasks", 1.02)
def top(pool, part, before):
    with subprocess.Popen([sys.executable, "-c", LOOKER], stdout=subprocess.PIPE, text=True) as looker:
        looker.stdout.readline()
        os.kill(looker.pid, signal.SIGSTOP)

        @contextlib.contextmanager
        def looked_at():
            os.kill(looker.pid, signal.SIGCONT)
            try:
                yield
            finally:
                os.kill(looker.pid, signal.SIGSTOP)

        try:
            yield _maps(pool, empty, range(1_000_000 // part), looked_at)
        finally:
            looker.kill()


@row("`progress=` a function: a map of 1 M empty tasks", 1.02)
def progress_function(pool, part, before):
    yield _maps(pool, empty, range(1_000_000 // part), progress=lambda progress: None)


@row('`progress="plain"`: a map of 1 M empty tasks', 1.02)
def progress_plain(pool, part, before):
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield _maps(pool, empty, range(1_000_000 // part), progress="plain")


@row("recording: a map of 1 M empty tasks", 1.2)
def recording_empty(pool, part, before):
    yield _maps(pool, empty, range(1_000_000 // part), procession.recording)


@row("recording: 50,000 tasks of 20 µs", 1.01)
def recording_short(pool, part, before):
    yield _maps(pool, compute, [twenty_us()] * (50_000 // part), procession.recording)


def main(names, pairs, quick, before):
    """Measure rows and print them; return the exit code."""
    part = 100 if quick else 1
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, {WORKERS} workers, {pairs} pairs by turns\n")
    print("| what | without | with | ratio (quartiles) | ratio of CPU time | goal |\n|---|---|---|---|---|---|")
    with procession.Pool(WORKERS) as pool:
        pool.map(empty, range(1000))
        for name in names:
            begin, text, goal = ROWS[name]
            if name == "board" and before is None:
                print(f"| {text} | - | - | needs --before PYTHON | - | {goal} |")
                continue
            with begin(pool, part, before) as both:
                print(_line(text, goal, *_measured(both, pairs)), flush=True)
    return 0


def _measured(both, pairs):
    times, used = ([], []), ([], [])
    for function in both:
        function()
    family = psutil.Process().children(recursive=True)
    pids = [os.getpid(), *(child.pid for child in family if LOOKER not in child.cmdline())]
    for number in range(pairs):
        for which in (0, 1) if number % 2 else (1, 0):
            began, before = time.perf_counter(), _cpu(pids)
            both[which]()
            times[which].append(time.perf_counter() - began)
            used[which].append(_cpu(pids) - before)
    return *times, *used


def _cpu(pids):
    """Return how many seconds processes have been on a CPU."""
    total = 0
    for path in (path for pid in pids for path in glob.glob(f"/proc/{pid}/task/*/schedstat")):
        with open(path) as file:
            total += int(file.read().split()[0])
    return total / 1e9


def _ratios(without, with_it):
    ratios = [after / before for before, after in zip(without, with_it, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _line(text, goal, without, with_it, cpu, more_cpu):
    ratios = f"{_ratios(without, with_it)} | {_ratios(cpu, more_cpu)}"
    return f"| {text} | {min(without):.3f} s | {min(with_it):.3f} s | {ratios} | {goal} |"
