"""The first pool of a program that imports numpy, and scipy.stats where it is installed."""

from statistics import median

from benches.aims import Times
from benches.workload import Workload, main, number_of

ROW = Workload(
    "first pool of a program: start, first result, stop; main imports numpy and scipy.stats",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    whole=True,
    aim={"fork": Times(1), "spawn": Times(1), "forkserver": Times(1.5)},
)


def measure(library):
    """Milliseconds, each of a program of its own."""
    library.context.Pool  # noqa: B018  a library without it says so here
    return median(number_of("first_pool.py", library.name, library.start_method) for _ in range(library.count(10)))


if __name__ == "__main__":
    main(ROW, measure)
