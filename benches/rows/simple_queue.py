"""Integers through a `SimpleQueue`, one process puts, another gets."""

from benches.aims import Times
from benches.rows.queue import rate
from benches.workload import Workload, main

ROW = Workload("`SimpleQueue` of ints, one to one", "k/s", aim=Times(6))


def measure(library):
    """Thousands of items a second, from the first that arrives."""
    return rate(library, library.context.SimpleQueue())


if __name__ == "__main__":
    main(ROW, measure)
