"""Large numpy arrays as arguments of tasks."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("64 arrays of 16 MiB as arguments", "GB/s", aim=Times(12))
ARRAY_BYTES = 16 << 20


def first_byte(array):
    """A task that hardly reads its argument."""
    return int(array[0])


def measure(library):
    """Gigabytes a second."""
    import numpy

    arrays = [numpy.full(ARRAY_BYTES, 7, numpy.uint8)] * (library.count(80) * 8 // 10)
    with library.warm_pool() as pool:
        pool.map(first_byte, arrays[:4], 1)
        return len(arrays) * ARRAY_BYTES / seconds(pool.map, first_byte, arrays, 1) / 1e9


if __name__ == "__main__":
    main(ROW, measure)
