"""Rates of a pool on a Dask cluster of two nodes on this machine, beside `Client.map` and Dask's executor, by turns.

Run it by `python -m benches.clusters`, `--rounds 3` for more; the best round of each counts.
"""

import argparse
import functools
import tempfile
import time
from pathlib import Path

import numpy
import procession

from tests.dask_nodes import Cluster

ROWS: dict = {}


def row(count):
    """Register a row: a function that returns the functions to be timed by name, and how many tasks each does."""

    def register(function):
        ROWS[function.__name__] = function, count
        return function

    return register


def double(number):
    return 2 * number


def total(array, number):
    return number


def same(array):
    return array


@row(2000)
def chunksize_1(pool, client, executor):
    items = range(2000)
    return {
        "procession": lambda: pool.map(double, items, 1),
        "Client.map": lambda: client.gather(client.map(double, items, pure=False)),
        "executor": lambda: list(executor.map(double, items)),
    }


@row(20_000)
def default_map(pool, client, executor):
    items = range(20_000)
    return {
        "procession": lambda: pool.map(double, items),
        "Client.map": lambda: client.gather(client.map(double, items, pure=False, batch_size=500)),
    }


@row(300)
def apply_async(pool, client, executor):
    def ours():
        return [result.get() for result in [pool.apply_async(double, (n,)) for n in range(300)]]

    def theirs():
        return client.gather([client.submit(double, n, pure=False) for n in range(300)])

    return {"procession": ours, "Client.submit": theirs}


@row(16)
def function_of_64_mib(pool, client, executor):
    function = functools.partial(total, numpy.zeros(8 << 20))
    return {
        "procession": lambda: pool.map(function, range(16)),
        "Client.map": lambda: client.gather(client.map(function, range(16), pure=False)),
    }


@row(4)
def arrays_of_16_mib(pool, client, executor):
    arrays = [numpy.zeros(2 << 20) for _ in range(4)]
    return {
        "procession": lambda: pool.map(same, arrays),
        "Client.map": lambda: client.gather(client.map(same, arrays, pure=False)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    cluster = Cluster(Path(tempfile.mkdtemp()))
    try:
        executor = cluster.client.get_executor(pure=False)
        with procession.get_context("dask").Pool() as pool:
            pool.map(double, range(100))
            for name, (make, count) in ROWS.items():
                best: dict = {}
                for _ in range(arguments.rounds):
                    for label, run in make(pool, cluster.client, executor).items():
                        began = time.perf_counter()
                        run()
                        best[label] = min(best.get(label, 1e9), time.perf_counter() - began)
                for label, seconds in best.items():
                    print(
                        f"{name:20} {label:14} {count / seconds:12,.0f} tasks/s {1000 * seconds / count:10.3f} ms each"
                    )
        executor.shutdown()
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
