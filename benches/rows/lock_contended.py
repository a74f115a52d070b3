"""A lock that two processes want all the time."""

from benches.aims import TimesBest
from benches.rows.lock import take_often
from benches.workload import Workload, main, seconds_together

ROW = Workload("`Lock` acquire + release, two processes", "k/s", aim=TimesBest(1.3))


def measure(library):
    """Thousands of pairs a second, of both processes."""
    count = library.count(300_000)
    lock = library.context.Lock()
    return 2 * count / seconds_together(library, take_often, lock, count) / 1e3


if __name__ == "__main__":
    main(ROW, measure)
