"""Results that are small instances of a class."""

import dataclasses

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("50 k instances as results", "k/s", whole=True, aim=Times(1.5))


@dataclasses.dataclass
class Point:
    """A result with a few attributes."""

    number: int
    name: str
    weight: float


def make(number):
    """A task that returns an instance."""
    return Point(number, "point", 0.5)


def measure(library):
    """Thousands of results a second."""
    count = library.count(50_000)
    with library.warm_pool() as pool:
        pool.map(make, range(count // 10))
        return count / seconds(pool.map, make, range(count)) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
