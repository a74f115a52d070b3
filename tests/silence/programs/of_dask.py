"""dask: its scheduler for processes, over an executor of ours."""

import sys

import dask
import procession as multiprocessing
from procession.futures import ProcessPoolExecutor


@dask.delayed
def square(number):
    return number * number


if __name__ == "__main__":
    with ProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1])) as executor:
        total = dask.delayed(sum)([square(number) for number in range(10)])
        assert total.compute(scheduler="processes", pool=executor) == 285
