"""A process that does nothing, from a program that imports numpy."""

import numpy  # noqa: F401  the point of the row

from benches.rows.process_start import measure
from benches.workload import Workload, main

ROW = Workload("the same, main imports numpy", "ms", higher_is_better=False, each_start_method=True)

if __name__ == "__main__":
    main(measure)
