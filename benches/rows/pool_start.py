"""A pool used for one task only: start, first result, stop."""

from statistics import median

from benches.aims import Times, TimesBest
from benches.workload import WORKERS, Workload, in_bare_processes, main, only, seconds

ROW = Workload(
    "pool of 2: start, first result, stop",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    aim={"fork": TimesBest(1.25), "spawn": Times(2), "forkserver": Times(2)},
)


def use_once(library):
    """Starts a pool, uses it, stops it."""
    with library.context.Pool(WORKERS) as pool:
        pool.apply(abs, (1,))
        pool.close()
        pool.join()


def measure(library):
    """Milliseconds, of a pool that is not the program's first."""
    use_once(library)
    return median(seconds(use_once, library) for _ in range(library.count(20))) * 1e3


def limit(amount):
    """Milliseconds of as many bare processes that end at once."""
    only(amount, "fork")
    return median(seconds(in_bare_processes, abs, range(WORKERS)) for _ in range(amount.count(20))) * 1e3


if __name__ == "__main__":
    main(ROW, measure, limit)
