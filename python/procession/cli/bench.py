"""`procession bench`: a short table of procession beside the standard library, measured by turns on this machine.

Each number is measured in a process of its own, which this module is too: `python -m procession.cli.bench ROW LIBRARY
START_METHOD SCALE` prints one.
"""

import argparse
import importlib
import os
import platform
import subprocess
import sys
import time
from statistics import median

from procession._pool import cpus

__all__: list[str] = []

LIBRARIES = ("multiprocessing", "procession")
START_METHODS = ("fork", "spawn", "forkserver")
WORKERS = 2
LIMIT_S = 120


def _seconds(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def _nothing(_=None):
    pass


def _sleep(seconds):
    time.sleep(seconds)


def _warm(context):
    pool = context.Pool(WORKERS)
    pool.map(_sleep, [0.01] * 4 * WORKERS, 1)
    return pool


def _apply(context, scale):
    with _warm(context) as pool:
        return median(_seconds(pool.apply, abs, (-1,)) for _ in range(int(2000 * scale))) * 1e6


def _map(context, scale, chunksize=None):
    items = range(int(100_000 * scale))
    with _warm(context) as pool:
        return len(items) / _seconds(pool.map, abs, items, chunksize) / 1e3


def _one_by_one(context, scale):
    return _map(context, scale / 5, 1)


def _uneven(context, scale):
    naps = sorted((0.05 * scale / (1 + n) for n in range(40)), reverse=True)
    ideal = max(naps[0], sum(naps) / WORKERS)
    with _warm(context) as pool:
        return _seconds(pool.map, _sleep, naps) / ideal


def _buffers(context, scale):
    data = bytearray(16 << 20)
    count = max(2, int(16 * scale))
    with _warm(context) as pool:
        pool.apply(len, (data,))
        return count * len(data) / _seconds(lambda: [pool.apply(len, (data,)) for _ in range(count)]) / 1e9


def _process(context, scale):
    def once():
        process = context.Process(target=_nothing)
        process.start()
        process.join()

    once()
    return median(_seconds(once) for _ in range(max(3, int(20 * scale)))) * 1e3


def _queue(context, scale):
    count = int(50_000 * scale)
    queue = context.Queue()
    process = context.Process(target=_fill, args=(queue, count))
    process.start()
    queue.get()
    took = _seconds(lambda: [queue.get() for _ in range(count)])
    process.join()
    return count / took / 1e3


def _fill(queue, count):
    for number in range(count + 1):
        queue.put(number)


# Title, unit, whether more is better, how it is measured.
ROWS = {
    "apply": ("apply, there and back", "us", False, _apply),
    "map": ("map of short tasks", "thousand/s", True, _map),
    "one_by_one": ("the same, chunksize=1", "thousand/s", True, _one_by_one),
    "uneven": ("map of uneven tasks, time / ideal", "", False, _uneven),
    "buffers": ("16 MiB as an argument", "GB/s", True, _buffers),
    "process": ("Process, start and join", "ms", False, _process),
    "queue": ("Queue of ints", "thousand/s", True, _queue),
}


def _measure(row, library, start_method, scale):
    command = [sys.executable, "-m", "procession.cli.bench", row, library, start_method, str(scale)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        print(f"procession: {row} with {library}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return float(done.stdout)


def _shown(number):
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def main(arguments: list[str]) -> None:
    """Print the table, a line as soon as it is measured.

    Args:
        arguments: the command line, a list of str.
    """
    command = argparse.ArgumentParser(
        prog="procession bench",
        description="Measures procession beside the standard library, by turns, on this machine.",
    )
    command.add_argument("--quick", action="store_true", help="a tenth of the work: rough numbers in seconds")
    command.add_argument("--start-method", choices=START_METHODS, default="forkserver", help="default: forkserver")
    command.add_argument("--rounds", type=int, default=3, help="measurements of each library (default: %(default)s)")
    options = command.parse_args(arguments)
    if options.rounds < 1:
        command.error(f"--rounds must be at least 1, not {options.rounds}")
    print(
        f"{cpus.allowed()} CPUs, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {options.start_method}, {WORKERS} workers, "
        f"load {os.getloadavg()[0]:.1f}\n"
    )
    print(f"{'':36}{'':12}{'multiprocessing':>16}{'procession':>12}{'better':>9}")
    for row, (title, unit, more_is_better, _) in ROWS.items():
        found = {library: [] for library in LIBRARIES}
        for turn in range(options.rounds):
            for library in LIBRARIES[:: 1 if turn % 2 == 0 else -1]:
                number = _measure(row, library, options.start_method, 0.1 if options.quick else 1.0)
                if number is not None:
                    found[library].append(number)
        theirs, ours = (median(numbers) if numbers else None for numbers in found.values())
        better = "-"
        if theirs and ours:
            better = _shown(ours / theirs if more_is_better else theirs / ours) + " x"
        print(f"{title:36}{unit:12}{_shown(theirs):>16}{_shown(ours):>12}{better:>9}", flush=True)


if __name__ == "__main__":
    _row, _library, _method, _scale = sys.argv[1:]
    print(ROWS[_row][3](importlib.import_module(_library).get_context(_method), float(_scale)))
