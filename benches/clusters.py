"""Rates of a pool on a cluster of two nodes on this machine, beside the engine's own ways and a local pool, by turns.

Run it by `python -m benches.clusters dask` or `ray`, or by `mpiexec -n 3 python -m procession.mpi -m benches.clusters
mpi`; `--rounds 9` for more: the medians count. CPU time a task is that of the program, and of it with all processes of
the cluster. After each row stands how many times as fast as the engine's own ways procession is, and whether that is
what it aims at.
"""

import argparse
import functools
import importlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy
import procession

from benches.sweep.usage import cpu_s_of, family

ROWS: dict = {}


def row(count, **aims):
    """Register a row: a function that has one way do something, how many tasks that is (None: as `many` says), and how
    many times as fast as other ways procession is to be."""

    def register(function):
        ROWS[function.__name__] = function, count, aims
        return function

    return register


def double(number):
    return 2 * number


def total(array, number):
    return number


def same(array):
    return array


class OfPool:
    """What a pool with the interface of multiprocessing does; `many` items it is given for how many there may be."""

    many = 20_000

    def __init__(self, pool):
        self._pool = pool

    def each(self, function, items):
        """Call a function for each item, with as little at once as there is."""
        return self._pool.map(function, items, 1)

    def all(self, function, items):
        """The same, with as much at once as is chosen by itself."""
        return self._pool.map(function, items)

    def calls(self, function, items):
        """Hand in a call of a function for each item, then wait for all."""
        return [result.get() for result in [self._pool.apply_async(function, (item,)) for item in items]]

    def call(self, function, item):
        """Call a function and wait for it."""
        return self._pool.apply(function, (item,))


class OfClient:
    """What a client of Dask does."""

    many = 5000

    def __init__(self, client):
        self._client = client

    def each(self, function, items):
        """See `OfPool`, as for the others."""
        return self._client.gather(self._client.map(function, items, pure=False))

    def all(self, function, items):
        return self._client.gather(self._client.map(function, items, pure=False, batch_size=500))

    def calls(self, function, items):
        return self._client.gather([self._client.submit(function, item, pure=False) for item in items])

    def call(self, function, item):
        return self._client.submit(function, item, pure=False).result()


class OfExecutor:
    """What an executor does. That of Dask sends each item by itself, whatever `chunksize` says."""

    many = 500

    def __init__(self, executor):
        self._executor = executor

    def each(self, function, items):
        """See `OfPool`, as for the others."""
        return list(self._executor.map(function, items))

    def all(self, function, items):
        return list(self._executor.map(function, items, chunksize=500))

    def calls(self, function, items):
        return [future.result() for future in [self._executor.submit(function, item) for item in items]]

    def call(self, function, item):
        return self._executor.submit(function, item).result()


@row(2000, rays_pool=30, client=100)
def chunksize_1(way):
    way.each(double, range(2000))


@row(None, rays_pool=2)
def default_map(way):
    way.all(double, range(way.many))


@row(300, rays_pool=3)
def apply_async(way):
    way.calls(double, range(300))


@row(100)
def apply(way):
    for number in range(100):
        way.call(double, number)


@row(16, rays_pool=8, client=8, executor=8)
def function_of_64_mib(way):
    way.each(functools.partial(total, numpy.zeros(8 << 20)), range(16))


@row(4, rays_pool=1, client=1, executor=1)
def arrays_of_16_mib(way):
    way.all(same, [numpy.zeros(2 << 20) for _ in range(4)])


def peers_of(engine, cluster):
    """Return the engine's own ways by their names."""
    if engine == "dask":
        return {"client": OfClient(cluster.client), "executor": OfExecutor(cluster.client.get_executor(pure=False))}
    if engine == "mpi":
        return {}  # mpi4py's executor needs the ranks for itself
    from ray.util.multiprocessing import Pool

    return {"rays_pool": OfPool(Pool(2))}


def measure(ways, rounds, names):
    """Print a line for each row and way."""
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} at the start, medians of {rounds} rounds by turns")
    print(f"{'':20} {'':14} {'tasks/s':>11} {'ms each':>9} {'CPU us: program':>16} {'all':>8}")
    for name in names or ROWS:
        run, count, aims = ROWS[name]
        found: dict = {label: [] for label in ways}
        for turn in range(rounds):
            for label in list(ways)[:: -1 if turn % 2 else 1]:
                found[label].append(_used(run, ways[label], count or ways[label].many))
        # Of each way the median of its rounds, of a task: seconds, CPU seconds of the program, and of all.
        medians = {label: [*map(statistics.median, zip(*rows, strict=True))] for label, rows in found.items()}
        for label, (seconds, own, whole) in medians.items():
            print(
                f"{name:20} {label:14} {1 / seconds:11,.0f} {1e3 * seconds:9.3f}",
                f"{1e6 * own:16,.1f} {1e6 * whole:8,.1f}",
                _beside(seconds / medians["procession"][0], aims.get(label)),
                flush=True,
            )


def _used(run, way, count):
    """Return what a task of a row takes: seconds, CPU seconds of this program, and of it and its descendants."""
    members = family()
    whole, own, began = cpu_s_of(members), time.process_time(), time.perf_counter()
    run(way)
    seconds, own = time.perf_counter() - began, time.process_time() - own
    return [used / count for used in (seconds, own, cpu_s_of(members) - whole)]


def _beside(times, aim):
    """Return how a way compares with procession, in words, where it is to."""
    if aim is None:
        return ""
    return f"procession {times:.1f} times as fast, to be {aim}{'' if times >= aim else ': MISSED'}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("dask", "mpi", "ray"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="", help="the rows, with commas between them (default: all)")
    arguments = parser.parse_args()
    engine = arguments.engine
    cluster = importlib.import_module(f"tests.{engine}_nodes").Cluster(Path(tempfile.mkdtemp()))
    try:
        with procession.get_context(engine).Pool() as pool, procession.get_context("spawn").Pool(2) as local:
            ways = {"procession": OfPool(pool), "this machine": OfPool(local)}
            ways |= peers_of(engine, cluster)
            for way in ways.values():
                way.all(double, range(100))
            measure(ways, arguments.rounds, list(filter(None, arguments.rows.split(","))))
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
