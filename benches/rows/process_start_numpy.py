"""A process that does nothing, from a program that imports numpy."""

from statistics import median

import numpy  # noqa: F401  the point of the row

from benches.aims import AtMost, Times, TimesBest
from benches.bare import fork_and_wait, spawn_and_wait, start_and_join
from benches.workload import Workload, main, seconds

ROW = Workload(
    "`Process` start + join, main imports numpy",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    aim={"fork": TimesBest(1.43), "spawn": Times(1), "forkserver": AtMost(20)},
)


def measure(library):
    """Milliseconds, of a child that is not the program's first."""
    library.own("Process")
    start_and_join(library.context)
    return median(seconds(start_and_join, library.context) for _ in range(library.count(30))) * 1e3


def limit(amount):
    """Milliseconds of `os.fork` or of an interpreter that imports numpy, with the wait for its end."""
    if amount.start_method == "spawn":
        return median(spawn_and_wait("import numpy") for _ in range(amount.count(30)))
    return median(fork_and_wait() for _ in range(amount.count(30)))


if __name__ == "__main__":
    main(ROW, measure, limit)
