"""One large array among the arguments of each task of a map."""

from benches.aims import Times
from benches.rows.broadcast_partial import ARRAY_BYTES, TASKS, look
from benches.workload import Workload, main, seconds

ROW = Workload("one 16 MiB array to 200 tasks, in the arguments", "ms", higher_is_better=False, aim=Times(23))


def measure(library):
    """Milliseconds, of all tasks: those of a quick run are extrapolated."""
    import numpy

    array = numpy.full(ARRAY_BYTES, 7, numpy.uint8)
    tasks = library.count(TASKS)
    with library.warm_pool() as pool:
        pool.starmap(look, [(array, index) for index in range(4)], 1)
        return seconds(pool.starmap, look, [(array, index) for index in range(tasks)], 1) * 1e3 * TASKS / tasks


if __name__ == "__main__":
    main(ROW, measure)
