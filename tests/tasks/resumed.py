"""A map that is killed again and again, and goes on: run as a program."""

import os
import sys

import numpy
import procession

COUNT = 300


def work(number):
    """Small results, large ones, and failures; each run leaves a line in a file."""
    descriptor = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)
    if number % 11 == 5:
        raise ValueError(number)
    if number % 7 == 3:
        return numpy.full(20_000, number, "f8")
    return number, procession.current_task().index, procession.current_task().random.random()


def large(number):
    """Return so much that it lies beside the journal."""
    return numpy.full(100_000, number)


def text_of(result):
    """A result as text, equal for equal ones."""
    if isinstance(result, procession.TaskFailed):
        return f"failed {result.index} {result.item} {result.exception!r}"
    return f"{len(result)} {result.sum()}" if isinstance(result, numpy.ndarray) else repr(result)


def main(method, kind, path):
    """Run the map and print its results."""
    options = {"on_error": "return", "seed": 7}
    if path:
        options["resume"] = path
    with procession.get_context(method).Pool(2) as pool:
        call = getattr(pool, kind)
        items = iter(range(COUNT)) if kind.startswith("imap") else range(COUNT)
        results = list(map(text_of, call(work, items, chunksize=3, **options)))
    print("\n".join(sorted(results) if kind == "imap_unordered" else results))


if __name__ == "__main__":
    main(*sys.argv[1:])
