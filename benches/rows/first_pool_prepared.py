"""The first pool of a program that has told its forkserver to begin while it imports numpy and scipy.stats."""

import sys
from statistics import median

from benches import libraries
from benches.aims import AtMost
from benches.workload import Workload, main, number_of

ROW = Workload(
    "first pool of a program after `prepare()`, forkserver; main imports numpy and scipy.stats",
    "ms",
    higher_is_better=False,
    whole=True,
    aim=AtMost(60),
)


def measure(library):
    """Milliseconds, each of a program of its own."""
    if not hasattr(sys.modules[library.own("Process").__module__.partition(".")[0]], "prepare"):
        raise libraries.NotOffered("its server begins with the first child")
    return median(number_of("first_pool_prepared.py") for _ in range(library.count(10)))


if __name__ == "__main__":
    main(ROW, measure)
