"""Large numpy arrays as arguments of tasks, each of which is another and is read as a whole."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("16 different arrays of 16 MiB as arguments, read", "GB/s", aim=Times(8))
ARRAY_BYTES = 16 << 20
ARRAYS = 16


def add_up(array):
    """A task that reads its argument."""
    return int(array.view("u8").sum())


def measure(library):
    """Gigabytes a second."""
    import numpy

    arrays = [numpy.full(ARRAY_BYTES, byte, numpy.uint8) for byte in range(ARRAYS)]
    with library.warm_pool() as pool:
        pool.map(add_up, arrays[:4], 1)
        rounds = library.count(40) // 4
        took = sum(seconds(pool.map, add_up, arrays, 1) for _ in range(rounds))
        return rounds * ARRAYS * ARRAY_BYTES / took / 1e9


if __name__ == "__main__":
    main(ROW, measure)
