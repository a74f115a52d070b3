"""Many trivial items, chunks left to the library."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`map` of 100 k ints, default chunks", "k/s", whole=True, aim=Times(1.6))
ITEMS = 100_000


def measure(library):
    """Thousands of items a second."""
    with library.warm_pool() as pool:
        pool.map(abs, range(ITEMS // 10))
        return ITEMS / seconds(pool.map, abs, range(ITEMS)) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
