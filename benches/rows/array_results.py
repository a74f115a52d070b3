"""Large numpy arrays as results of tasks."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("64 arrays of 16 MiB as results", "GB/s", aim=Times(15))
ARRAY_BYTES = 16 << 20


def make_array(byte):
    """A task with a large result, which is made only once a worker."""
    global made
    if "made" not in globals():
        import numpy

        made = numpy.full(ARRAY_BYTES, byte, numpy.uint8)
    return made


def read_all(pool, count):
    """Reads every result and drops it."""
    for array in pool.imap(make_array, [7] * count):
        assert array[0] == 7


def measure(library):
    """Gigabytes a second."""
    count = library.count(80) * 8 // 10
    with library.warm_pool() as pool:
        read_all(pool, 4)
        return count * ARRAY_BYTES / seconds(read_all, pool, count) / 1e9


if __name__ == "__main__":
    main(ROW, measure)
