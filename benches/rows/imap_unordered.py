"""Many trivial items, results read as they come."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`imap_unordered` of 50 k ints", "k/s", aim=Times(15))


def read_all(pool, items):
    """Reads every result."""
    for _ in pool.imap_unordered(abs, range(items)):
        pass


def measure(library):
    """Thousands of items a second."""
    items = library.count(50_000)
    with library.warm_pool() as pool:
        read_all(pool, items // 10)
        return items / seconds(read_all, pool, items) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
