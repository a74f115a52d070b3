"""Results that are one object, in chunks of a size that the program says: one object for each chunk."""

from benches.aims import Times
from benches.rows.results_shared import give
from benches.workload import Workload, main, seconds

ROW = Workload("the same in chunks of 40", "results/s", whole=True, aim=Times(1))


def measure(library):
    """Results a second."""
    count = library.count(400)
    with library.warm_pool() as pool:
        return count / seconds(pool.map, give, range(count), 40)


if __name__ == "__main__":
    main(ROW, measure)
