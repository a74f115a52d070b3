"""A process that does nothing, from a program that imports nothing."""

from statistics import median

from benches.workload import Workload, main, seconds

ROW = Workload("`Process` start + join", "ms", higher_is_better=False, each_start_method=True)


def nothing():
    """What the child does."""


def start_and_join(library):
    """Starts one child and waits for it."""
    child = library.context.Process(target=nothing)
    child.start()
    child.join()


def measure(library):
    """Milliseconds, of a child that is not the program's first."""
    start_and_join(library)
    return median(seconds(start_and_join, library) for _ in range(library.count(30))) * 1e3


if __name__ == "__main__":
    main(measure)
