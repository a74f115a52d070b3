"""Many trivial items, each a task."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`map` of 100 k ints, `chunksize=1`", "k/s", aim=Times(15))


def measure(library):
    """Thousands of items a second."""
    items = library.count(100_000)
    with library.warm_pool() as pool:
        pool.map(abs, range(items // 10), 1)
        return items / seconds(pool.map, abs, range(items), 1) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
