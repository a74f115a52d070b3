"""A shared number, counted up under its lock."""

from itertools import repeat
from threading import Lock
from types import SimpleNamespace

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Value` += 1 under its lock", "k/s", aim=Times(4.5))


def count_up(value, count):
    """Adds 1 so many times."""
    for _ in range(count):
        with value.get_lock():
            value.value += 1


def measure(library):
    """Thousands of additions a second."""
    count = library.count(200_000)
    value = library.context.Value("l", 0)
    count_up(value, count // 10)
    return count / seconds(count_up, value, count) / 1e3


def limit(amount):
    """Thousands of additions a second to an attribute of one process, under a lock of its threads."""
    count = amount.count(200_000)
    value = SimpleNamespace(value=0, get_lock=repeat(Lock()).__next__)
    count_up(value, count // 10)
    return count / seconds(count_up, value, count) / 1e3


if __name__ == "__main__":
    main(ROW, measure, limit)
