"""A semaphore with permits for all."""

from benches.aims import Times
from benches.rows.lock import take_often
from benches.workload import Workload, main, seconds

ROW = Workload("`Semaphore` acquire + release, free", "ns", higher_is_better=False, aim=Times(0.9))


def measure(library):
    """Nanoseconds a pair takes."""
    count = library.count(500_000)
    semaphore = library.context.Semaphore(2)
    take_often(semaphore, count // 10)
    return seconds(take_often, semaphore, count) / count * 1e9


if __name__ == "__main__":
    main(ROW, measure)
