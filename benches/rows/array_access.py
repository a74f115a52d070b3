"""An element of a shared array, read and written."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Array` element read and written", "ns", higher_is_better=False, aim=Times(2))


def copy_over(array, count):
    """Reads one element and writes another, so many times."""
    for _ in range(count):
        array[1] = array[0]


def measure(library):
    """Nanoseconds that reading and writing take together."""
    count = library.count(200_000)
    array = library.context.Array("d", 16)
    copy_over(array, count // 10)
    return seconds(copy_over, array, count) / count * 1e9


if __name__ == "__main__":
    main(ROW, measure)
