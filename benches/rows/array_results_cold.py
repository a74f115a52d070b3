"""Large numpy arrays as results of tasks, all of which the caller holds."""

from benches.aims import Times
from benches.rows.array_results import make_array
from benches.workload import Workload, main, seconds

ROW = Workload("16 arrays of 16 MiB as results that are kept", "GB/s", whole=True, aim=Times(8.7))
ARRAY_BYTES = 16 << 20
ARRAYS = 16


def measure(library):
    """Gigabytes a second, into memory that nothing has used before."""
    with library.warm_pool() as pool:
        pool.map(make_array, [7] * 4, 1)
        kept = []
        took = seconds(lambda: kept.extend(pool.map(make_array, [7] * ARRAYS, 1)))
        return ARRAYS * ARRAY_BYTES / took / 1e9


if __name__ == "__main__":
    main(ROW, measure)
