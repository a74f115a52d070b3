"""What a function costs that takes a pool each time it is called, and keeps its workers if the library can."""

import statistics

from benches.workload import WORKERS, Workload, main, seconds

ROW = Workload("pool of 2 in a function that is called again", "ms", higher_is_better=False, each_start_method=True)


def call(library):
    """A map of a few items in a pool that is there for this call."""
    with library.context.shared_pool(WORKERS) as pool:
        pool.map(abs, range(10))


def measure(library):
    """Milliseconds a call, but for the first."""
    call(library)
    return statistics.median(seconds(call, library) for _ in range(library.count(20))) * 1e3


if __name__ == "__main__":
    main(ROW, measure)
