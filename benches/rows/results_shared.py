"""Results that are one object."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("400 results that are one dict of 30,000 texts", "results/s", whole=True, aim=Times(1))
TEXTS = {f"key {number}": f"value {number}" for number in range(30_000)}


def give(_number):
    """A task that returns what all others return."""
    return TEXTS


def measure(library):
    """Results a second."""
    count = library.count(400)
    with library.warm_pool() as pool:
        return count / seconds(pool.map, give, range(count))


if __name__ == "__main__":
    main(ROW, measure)
