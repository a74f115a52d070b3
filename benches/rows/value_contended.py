"""A shared number, counted up by two processes."""

from benches.aims import Times
from benches.rows.value import count_up
from benches.workload import Workload, main, seconds_together

ROW = Workload("`Value` += 1 under its lock, two processes", "k/s", aim=Times(1))


def measure(library):
    """Thousands of additions a second, of both processes."""
    count = library.count(100_000)
    value = library.context.Value("l", 0)
    took = seconds_together(library, count_up, value, count)
    assert value.value == 2 * count
    return 2 * count / took / 1e3


if __name__ == "__main__":
    main(ROW, measure)
