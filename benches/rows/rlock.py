"""A recursive lock that nobody else wants."""

from benches.aims import Times
from benches.rows.lock import take_often
from benches.workload import Workload, main, seconds

ROW = Workload("`RLock` acquire + release, free", "ns", higher_is_better=False, aim=Times(0.9))


def measure(library):
    """Nanoseconds a pair takes."""
    count = library.count(500_000)
    lock = library.context.RLock()
    take_often(lock, count // 10)
    return seconds(take_often, lock, count) / count * 1e9


if __name__ == "__main__":
    main(ROW, measure)
