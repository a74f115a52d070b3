"""Measures how cost grows with the tasks, the workers, and the size of payloads, beside the standard library: time,
memory and descriptors.

python -m benches.growth --write benches/growth.md
"""

import argparse
from pathlib import Path
from statistics import median

from benches import alive
from benches.__main__ import machine
from benches.libraries import OURS, STANDARD
from benches.sweep import usage
from benches.table import shown
from benches.workload import LIMIT, START_METHODS, Library, seconds

TASKS = [10**exponent for exponent in range(2, 8)]
WORKERS = [1, 2, 4, 8, 16, 32, 64, 128, 256]
SIZES = [1, 1 << 10, 1 << 15, 1 << 20, 1 << 25, 1 << 30]
# Maps of few tasks are made several times, until they have so many.
FEWEST_TASKS = 100_000
# The standard library takes seconds for more, and several times the memory.
MOST_OF_STANDARD = 1 << 28


def identity(value):
    """Returns its argument."""
    return value


def nothing(_):
    """Does nothing."""


def by_tasks(library, count):
    """Microseconds a task of a map of `count` tasks, one by one in chunks of the library's choice."""
    maps = max(1, FEWEST_TASKS // count)
    with library.context.Pool(2) as pool:
        pool.map(nothing, range(1000))
        return seconds(_map, pool, count, maps) / (count * maps) * 1e6


def _map(pool, count, maps):
    for _ in range(maps):
        pool.map(nothing, range(count))


def by_workers(library, count):
    """Microseconds a task of a map of 100,000 tasks in a pool of `count` workers."""
    with library.context.Pool(count) as pool:
        pool.map(nothing, range(1000 * count))
        return seconds(pool.map, nothing, range(100_000)) / 100_000 * 1e6


def memory_by_tasks(library, count):
    """MiB at the peak of all processes while a map of `count` tasks runs, above what they had before."""
    with library.context.Pool(2) as pool:
        pool.map(nothing, range(1000))
        with usage.watched() as used:
            pool.map(nothing, range(count))
    return used["peak_mib"]


def memory_by_workers(library, count):
    """KiB of memory, shared parts in parts, that each of `count` workers adds."""
    return _of_workers(library, count)[0]


def descriptors_by_workers(library, count):
    """Descriptors that the parent has for each of `count` workers; those of a pool of one are more."""
    return _of_workers(library, count)[1]


def _of_workers(library, count):
    before, held = alive.memory(), alive.descriptors()
    with library.context.Pool(count) as pool:
        pool.map(nothing, range(1000 * count))
        return (alive.memory() - before) / count, (alive.descriptors() - held) / count


def by_size(library, size):
    """Gigabytes a second of payloads of `size` bytes that go to a worker and come back."""
    if library.name == STANDARD and size > MOST_OF_STANDARD:
        return None
    payload = bytearray(size)
    count = _times(size)
    with library.context.Pool(2) as pool:
        # Until all workers have started.
        _echo(pool, payload, max(1, count // 2))
        return 2 * size * count / seconds(_echo, pool, payload, count) / 1e9


def _times(size):
    return max(2, min(1000, (1 << 28) // size))


def _echo(pool, payload, count):
    for _ in range(count):
        pool.apply(identity, (payload,))


def memory(size):
    """Gigabytes a second of the copies that `by_size` needs, in one process, two of them to new memory."""
    payload = bytearray(size)
    shared = memoryview(bytearray(size)), memoryview(bytearray(size))
    count = _times(size)
    _copy(payload, shared, max(1, count // 2))
    return 2 * size * count / seconds(_copy, payload, shared, count) / 1e9


def _copy(payload, shared, count):
    there, back = shared
    for _ in range(count):
        there[:] = payload
        argument = bytearray(there)
        back[:] = argument
        result = bytearray(back)
        del argument, result


# Of each curve its unit, what measures a library, the values, and what measures what the machine gives without one.
CURVES = {
    "tasks of a map": ("us a task", by_tasks, TASKS, None),
    "workers": ("us a task", by_workers, WORKERS, None),
    "bytes there and back": ("GB/s", by_size, SIZES, memory),
    "tasks of a map: memory": ("MiB at the peak", memory_by_tasks, TASKS, None),
    "workers: memory": ("KiB each", memory_by_workers, WORKERS, None),
    "workers: descriptors": ("each", descriptors_by_workers, WORKERS, None),
}


def curve(measure, values, limit, start_method, rounds):
    """Yields a value, and the medians of both libraries and of the limit, if there is one, measured by turns."""
    libraries = [Library(name, start_method, False) for name in (STANDARD, OURS)]
    for value in values:
        found = [[] for _ in range(3 if limit else 2)]
        for _ in range(rounds):
            numbers = [measure(library, value) for library in libraries] + ([limit(value)] if limit else [])
            for kept, number in zip(found, numbers, strict=True):
                if number is not None:
                    kept.append(number)
        yield value, [median(kept) if kept else None for kept in found]


def main():
    """Prints a table for each curve."""
    command = argparse.ArgumentParser(prog="python -m benches.growth", description=__doc__.splitlines()[0])
    command.add_argument("--rounds", type=int, default=3, help="measurements of each library (default: %(default)s)")
    command.add_argument("--start-method", choices=START_METHODS, default="fork")
    command.add_argument("--write", type=Path, metavar="FILE", help="also write the tables to FILE")
    options = command.parse_args()
    head = f"{machine()}\n\n`python -m benches.growth --rounds {options.rounds}`: {options.start_method}, medians."
    lines = ["# How cost grows\n", head]
    for title, (unit, measure, values, limit) in CURVES.items():
        names = [title, "unit", STANDARD, OURS, *([LIMIT] if limit else [])]
        lines += [f"\n| {' | '.join(names)} |", "|---" * len(names) + "|"]
        for value, numbers in curve(measure, values, limit, options.start_method, options.rounds):
            lines.append(f"| {value:,} | {unit} | {' | '.join(map(shown, numbers))} |")
            print(lines[-1], flush=True)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
