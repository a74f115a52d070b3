"""An array of 1 MiB to a worker and back, one call after the other: from a Rust program to a Python worker, and from a
Python program with procession and with multiprocessing, by turns.

`python -m benches.languages`, which builds the Rust program first; `--calls N` for fewer calls. The worker copies
the array, so that each call takes and gives 1 MiB. Medians of the rounds, and of the ratios within them.
"""

import argparse
import multiprocessing
import operator
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy
import procession

ROOT = Path(__file__).parent.parent
BUILD = ["cargo", "build", "-q", "--release", "-p", "procession", "--example", "buffers"]
PROGRAM = ROOT / "target/release/examples/buffers"
ROUNDS = 15


def seconds_a_call(pool, array, calls):
    """Return how long a call takes, of so many."""
    begun = time.perf_counter()
    for _ in range(calls):
        assert pool.apply(operator.pos, (array,)).size == array.size
    return (time.perf_counter() - begun) / calls


def seconds_from_rust(program, calls):
    """Return how long a call of the Rust program takes, of so many."""
    program.stdin.write(f"{calls}\n")
    return float(program.stdout.readline())


def measured(calls):
    """Yield for each round the times of a call: from Rust, from Python, by multiprocessing."""
    array = numpy.full(1 << 17, 0.5)
    environment = {**os.environ, "PROCESSION_PYTHON": sys.executable}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with (
        procession.Pool(1) as ours,
        multiprocessing.get_context("spawn").Pool(1) as theirs,
        subprocess.Popen([PROGRAM], env=environment, **pipes) as program,
    ):
        for number in range(ROUNDS + 1):
            times = (
                seconds_from_rust(program, calls),
                seconds_a_call(ours, array, calls),
                seconds_a_call(theirs, array, max(calls // 10, 1)),
            )
            if number:  # the first round warms up
                yield times
        program.stdin.close()


def main():
    """Measure all by turns, and print medians in microseconds."""
    command = argparse.ArgumentParser(prog="python -m benches.languages", description=__doc__)
    command.add_argument("--calls", type=int, default=200, help="calls in a round (default: %(default)s)")
    calls = command.parse_args().calls
    subprocess.run(BUILD, cwd=ROOT, check=True)
    load = os.getloadavg()[0]
    rows = list(measured(calls))
    rust, python, standard = (statistics.median(column) * 1e6 for column in zip(*rows, strict=True))
    ratio = statistics.median(ours / python for ours, python, _ in rows)
    print(f"1 MiB to a worker and back, load {load:.1f}, {ROUNDS} rounds of {calls} calls, microseconds a call:")
    print(f"Rust {rust:.0f}, Python {python:.0f} ({ratio:.2f} times), multiprocessing {standard:.0f}")


if __name__ == "__main__":
    main()
