"""One large array bound in the function of a map."""

import functools

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("one 16 MiB array to 200 tasks, in a `partial`", "ms", higher_is_better=False, whole=True, aim=Times(48))
ARRAY_BYTES = 16 << 20
TASKS = 200


def look(array, index):
    """A task that hardly reads its array."""
    return int(array[index])


def measure(library):
    """Milliseconds."""
    import numpy

    array = numpy.full(ARRAY_BYTES, 7, numpy.uint8)
    with library.warm_pool() as pool:
        pool.map(functools.partial(look, array), range(4))
        return seconds(pool.map, functools.partial(look, array), range(TASKS)) * 1e3


if __name__ == "__main__":
    main(ROW, measure)
