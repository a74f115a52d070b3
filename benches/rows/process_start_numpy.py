"""A process that does nothing, from a program that imports numpy."""

from statistics import median

import numpy  # noqa: F401  the point of the row

from benches.bare import start_and_join
from benches.workload import Workload, main

ROW = Workload("the same, main imports numpy", "ms", higher_is_better=False, each_start_method=True)


def measure(library):
    """Milliseconds, of a child that is not the program's first."""
    start_and_join(library.context)
    return median(start_and_join(library.context) for _ in range(library.count(30)))


if __name__ == "__main__":
    main(measure)
