"""A dictionary in a manager."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Manager` dict, set and get", "k/s", aim=Times(1))


def use(shared, count):
    """Sets and gets so many items."""
    for number in range(count):
        shared[number % 100] = number
        shared[number % 100]


def measure(library):
    """Thousands of calls a second."""
    count = library.count(5_000)
    with library.context.Manager() as manager:
        shared = manager.dict()
        use(shared, count // 10)
        return 2 * count / seconds(use, shared, count) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
