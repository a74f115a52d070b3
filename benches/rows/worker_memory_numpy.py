"""What an idle worker adds to the memory in use, in a program that imports numpy."""

import numpy  # noqa: F401  the point of the row

from benches.aims import Times
from benches.bare_memory import added_by_worker
from benches.rows.worker_memory import WORKERS
from benches.workload import Workload, main

ROW = Workload(
    "memory an idle worker adds, main imports numpy",
    "MiB",
    higher_is_better=False,
    each_start_method=True,
    whole=True,
    aim={"fork": Times(1.05), "forkserver": Times(4)},
)


def measure(library):
    """MiB: what parent and workers have now, less what the parent had before, by the number of workers."""
    return added_by_worker(library.context, WORKERS)


if __name__ == "__main__":
    main(ROW, measure)
