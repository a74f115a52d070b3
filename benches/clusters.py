"""Rates of a pool on a cluster of two nodes on this machine, beside the engine's own ways and a local pool, by turns.

Run it by `python -m benches.clusters dask` or `ray`, `--rounds 3` for more; the best round of each counts.
"""

import argparse
import functools
import importlib
import tempfile
import time
from pathlib import Path

import numpy
import procession

ROWS: dict = {}


def row(count):
    """Register a row: a function that has one way do something, and how many tasks that is."""

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


class OfPool:
    """What a pool with the interface of multiprocessing does."""

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


@row(2000)
def chunksize_1(way):
    way.each(double, range(2000))


@row(20_000)
def default_map(way):
    way.all(double, range(20_000))


@row(300)
def apply_async(way):
    way.calls(double, range(300))


@row(100)
def apply(way):
    for number in range(100):
        way.call(double, number)


@row(16)
def function_of_64_mib(way):
    way.all(functools.partial(total, numpy.zeros(8 << 20)), range(16))


@row(4)
def arrays_of_16_mib(way):
    way.all(same, [numpy.zeros(2 << 20) for _ in range(4)])


def peer_of(engine, cluster):
    """Return the name of the engine's own way, and that."""
    if engine == "dask":
        return "Client", OfClient(cluster.client)
    from ray.util.multiprocessing import Pool

    return "ray's Pool", OfPool(Pool(2))


def measure(ways, rounds):
    """Print a line for each row and way."""
    for name, (run, count) in ROWS.items():
        best: dict = {}
        for _ in range(rounds):
            for label, way in ways.items():
                began = time.perf_counter()
                run(way)
                best[label] = min(best.get(label, 1e9), time.perf_counter() - began)
        for label, seconds in best.items():
            print(
                f"{name:20} {label:14} {count / seconds:12,.0f} tasks/s {1000 * seconds / count:10.3f} ms each",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("dask", "ray"))
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    engine = arguments.engine
    cluster = importlib.import_module(f"tests.{engine}_nodes").Cluster(Path(tempfile.mkdtemp()))
    try:
        with procession.get_context(engine).Pool() as pool, procession.get_context("spawn").Pool(2) as local:
            ways = {"procession": OfPool(pool), "this machine": OfPool(local)}
            name, peer = peer_of(engine, cluster)
            ways[name] = peer
            for way in ways.values():
                way.all(double, range(100))
            measure(ways, arguments.rounds)
    finally:
        cluster.close()


if __name__ == "__main__":
    main()
