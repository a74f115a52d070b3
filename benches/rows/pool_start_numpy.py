"""A pool used for one task only, in a program that imports numpy."""

from statistics import median

import numpy  # noqa: F401  the point of the row

from benches.aims import AtMost
from benches.bare_pool import use_once
from benches.rows.pool_start import limit
from benches.workload import Workload, main, seconds

ROW = Workload(
    "pool of 2: start, first result, stop; main imports numpy",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    aim={"forkserver": AtMost(25)},
)


def measure(library):
    """Milliseconds, of a pool that is not the program's first."""
    use_once(library.context)
    return median(seconds(use_once, library.context) for _ in range(library.count(20))) * 1e3


if __name__ == "__main__":
    main(ROW, measure, limit)
