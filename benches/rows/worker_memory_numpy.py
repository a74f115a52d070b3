"""What an idle worker adds to the memory in use, in a program that imports numpy."""

import numpy  # noqa: F401  the point of the row

from benches.aims import Times
from benches.rows.worker_memory import measure
from benches.workload import Workload, main

ROW = Workload(
    "memory an idle worker adds, main imports numpy",
    "MiB",
    higher_is_better=False,
    each_start_method=True,
    whole=True,
    aim={"fork": Times(1.05), "forkserver": Times(4)},
)


if __name__ == "__main__":
    main(ROW, measure)
