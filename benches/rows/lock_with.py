"""A lock in a `with` statement."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`with` a free `Lock`", "ns", higher_is_better=False, aim=Times(1))


def enter_often(lock, count):
    """Takes and releases the lock so many times."""
    for _ in range(count):
        with lock:
            pass


def measure(library):
    """Nanoseconds a statement takes."""
    count = library.count(300_000)
    lock = library.context.Lock()
    enter_often(lock, count // 10)
    return seconds(enter_often, lock, count) / count * 1e9


if __name__ == "__main__":
    main(ROW, measure)
