"""Small results of their own that have one small object as a part."""

from benches.aims import Times
from benches.rows.results_small_shared import SETTINGS
from benches.workload import Workload, main, seconds

ROW = Workload("100 k pairs of a number and one small dict as results", "k/s", whole=True, aim=Times(1))


def give(number):
    """A task that returns a number and what all others return."""
    return number, SETTINGS


def measure(library):
    """Thousands of results a second."""
    count = library.count(100_000)
    with library.warm_pool() as pool:
        pool.map(give, range(count // 10))
        return count / seconds(pool.map, give, range(count)) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
