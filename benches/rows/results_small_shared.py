"""Many small results that have one small object in common."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("100 k results that are one small dict", "k/s", whole=True, aim=Times(1))
SETTINGS = {"name": "a name", "number": 3, "weight": 0.5}


def give(_number):
    """A task that returns what all others return."""
    return SETTINGS


def measure(library):
    """Thousands of results a second."""
    count = library.count(100_000)
    with library.warm_pool() as pool:
        pool.map(give, range(count // 10))
        return count / seconds(pool.map, give, range(count)) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
