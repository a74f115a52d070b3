"""A pool used for one task only: start, first result, stop; from a program that imports nothing."""

from statistics import median

from benches.aims import Times, TimesBest
from benches.workload import WORKERS, Workload, in_bare_processes, main, only, printed_by, seconds

ROW = Workload(
    "pool of 2: start, first result, stop",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    aim={"fork": TimesBest(1.25), "spawn": Times(2), "forkserver": Times(2)},
)


def measure(library):
    """Milliseconds, of a pool that is not the program's first."""
    library.context.Pool  # noqa: B018  a library without it says so here
    return printed_by("bare_pool.py", library.name, library.start_method, library.count(20))


def limit(amount):
    """Milliseconds of as many bare processes that end at once."""
    only(amount, "fork")
    return median(seconds(in_bare_processes, abs, range(WORKERS)) for _ in range(amount.count(20))) * 1e3


if __name__ == "__main__":
    main(ROW, measure, limit)
