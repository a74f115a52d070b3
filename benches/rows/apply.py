"""The round trip of one small task at a time."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`apply` round trip", "us", higher_is_better=False, aim=Times(25))


def apply_often(pool, count):
    """Applies `abs` so many times."""
    for number in range(count):
        pool.apply(abs, (number,))


def measure(library):
    """Microseconds an `apply` takes."""
    count = library.count(5_000)
    with library.warm_pool() as pool:
        apply_often(pool, count // 10)
        return seconds(apply_often, pool, count) / count * 1e6


if __name__ == "__main__":
    main(ROW, measure)
