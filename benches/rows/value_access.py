"""A shared number, read and written without more."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Value.value` read and written", "ns", higher_is_better=False, aim=Times(2))


def copy_over(value, count):
    """Reads and writes the number so many times."""
    for _ in range(count):
        value.value = value.value


def measure(library):
    """Nanoseconds that reading and writing take together."""
    count = library.count(200_000)
    value = library.context.Value("l", 7)
    copy_over(value, count // 10)
    return seconds(copy_over, value, count) / count * 1e9


if __name__ == "__main__":
    main(ROW, measure)
