"""A pool used for one task only, in a program that imports numpy."""

import numpy  # noqa: F401  the point of the row

from benches.aims import AtMost
from benches.rows.pool_start import limit, measure
from benches.workload import Workload, main

ROW = Workload(
    "pool of 2: start, first result, stop; main imports numpy",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    aim={"forkserver": AtMost(25)},
)


if __name__ == "__main__":
    main(ROW, measure, limit)
