"""A lock that nobody else wants."""

from benches.aims import TimesBest
from benches.workload import Workload, main, seconds

ROW = Workload("`Lock` acquire + release, free", "ns", higher_is_better=False, aim=TimesBest(0.91))


def take_often(lock, count):
    """Takes and releases the lock so many times."""
    acquire, release = lock.acquire, lock.release
    for _ in range(count):
        acquire()
        release()


def measure(library):
    """Nanoseconds a pair takes."""
    count = library.count(500_000)
    lock = library.context.Lock()
    take_often(lock, count // 10)
    return seconds(take_often, lock, count) / count * 1e9


if __name__ == "__main__":
    main(ROW, measure)
