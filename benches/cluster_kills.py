"""Kills at random under maps on a cluster of three nodes on this machine: workers, agents, whole nodes, by turns.

Every result has to be right, come once, and in time. `python -m benches.cluster_kills dask --minutes 10`, or `ray`; the
exit code is 1 where anything was wrong or hung.
"""

import argparse
import functools
import importlib
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy
import procession
import psutil
from procession._cluster import staff

from tests import cluster_nodes

cluster_nodes.LIMIT_S = 300  # for nodes to start: the machine may have other things to do
LIMIT_S = 150.0  # for a map: nodes may have to be taken for lost, and to come back
NODES = 3
RETRIES = 20  # of a task whose worker was killed
# What is killed, and how often of that.
KINDS = {"worker": 6, "agent": 2, "node": 1}


def square(number):
    time.sleep(0.002 * (number % 7))
    return number * number


def with_array(array, number):
    return float(array[number]) + len(array)


def shape(array):
    return array + 1


def whole_map(pool, count):
    found = pool.map_async(square, range(count), 1, retries=RETRIES).get(LIMIT_S)
    return found == [n * n for n in range(count)]


def default_map(pool, count):
    found = pool.map_async(square, range(count), retries=RETRIES).get(LIMIT_S)
    return found == [n * n for n in range(count)]


def lazy_map(pool, count):
    results = pool.imap(square, iter(range(count)), retries=RETRIES)
    return in_time(results, count) == [n * n for n in range(count)]


def unordered_map(pool, count):
    results = pool.imap_unordered(square, range(count), retries=RETRIES)
    return sorted(in_time(results, count)) == [n * n for n in range(count)]


def in_time(results, count):
    """Return the results of a lazy map, all of which have to come within the limit of a map."""
    until = time.monotonic() + LIMIT_S
    return [results.next(max(0.0, until - time.monotonic())) for _ in range(count)]


def calls(pool, count):
    results = [pool.apply_async(square, (n,), retries=RETRIES) for n in range(count)]
    return [result.get(LIMIT_S) for result in results] == [n * n for n in range(count)]


def function_with_array(pool, count):
    array = numpy.arange(200_000.0)
    function = functools.partial(with_array, array)
    found = pool.map_async(function, range(count), 4, retries=RETRIES).get(LIMIT_S)
    return found == [n + 200_000.0 for n in range(count)]


def arrays(pool, count):
    items = [numpy.full(50_000, n) for n in range(count // 20)]
    found = pool.map_async(shape, items, 1, retries=RETRIES).get(LIMIT_S)
    return len(found) == len(items) and all(
        numpy.array_equal(one, item + 1) for one, item in zip(found, items, strict=True)
    )


MAPS = [whole_map, default_map, lazy_map, unordered_map, calls, function_with_array, arrays]


class Killer(threading.Thread):
    """Kills something every now and then.

    Args:
        cluster: of which there is something to kill.
        pool: works there: an agent or a node is killed only while it has all of them.
        draw: the generator of random numbers.
    """

    def __init__(self, cluster, pool, draw):
        super().__init__(name="Killer", daemon=True)
        self.killed: Counter = Counter()
        self.over = threading.Event()
        self._cluster = cluster
        self._pool = pool
        self._draw = draw

    def run(self):
        while not self.over.wait(self._draw.uniform(0.2, 3.0)):
            self._replace_lost()
            kind = self._draw.choices(list(KINDS), list(KINDS.values()))[0]
            try:
                if getattr(self, f"_{kind}")():
                    self.killed[kind] += 1
            except (psutil.NoSuchProcess, ProcessLookupError, StopIteration):
                pass  # it has gone by itself just now

    def _replace_lost(self):
        """Start nodes for those that have ended by themselves: Ray gives up one that is too slow to answer."""
        for node in [node for node in self._cluster.nodes if node.poll() is not None]:
            self._cluster.nodes.remove(node)
            self._cluster.add()
            self.killed["node that ended by itself"] += 1

    def _worker(self):
        """A worker, or the process that workers are forked from."""
        node = self._draw.choice(self._cluster.nodes)
        workers = self._cluster.workers_of(node)
        if workers:
            os.kill(self._draw.choice(workers), signal.SIGKILL)
        return bool(workers)

    def _agent(self):
        """The process that has a node's pool: of Dask the node itself, of Ray an actor."""
        if self._cluster.engine == "dask":
            return self._node()
        if len(self._pool._pool) < NODES:
            return False
        node = self._draw.choice(self._cluster.nodes)
        agents = [one for one in psutil.Process(node.pid).children(recursive=True) if _is_actor(one)]
        for agent in agents:
            agent.kill()
        return bool(agents)

    def _node(self):
        """A node; another one comes in its place."""
        if len(self._pool._pool) < NODES:
            return False
        victim = self._draw.choice(self._cluster.nodes)
        self._cluster.nodes.remove(victim)
        self._cluster.lose(victim)
        self._cluster.add()
        return True


def _is_actor(process):
    """Return whether a process is an agent of a pool."""
    try:
        return any("ray::Host" in word for word in process.cmdline())  # Ray's own agents have other names
    except psutil.Error:
        return False


def campaign(cluster, seconds, draw):
    """Run maps for so long; return the counts of what came of them, and of what was killed."""
    came: Counter = Counter()
    with procession.get_context(cluster.engine).Pool(NODES) as pool:
        killer = Killer(cluster, pool, draw)
        killer.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            run, count = draw.choice(MAPS), draw.randrange(20, 800)
            try:
                came["right" if run(pool, count) else "wrong"] += 1
            except procession.NodeLost:
                came["given up, as on three lost nodes"] += 1
            except (TimeoutError, procession.TimeoutError):
                came["hung"] += 1
                print(f"hung: {run.__name__} of {count}\n{pool!r}", flush=True)
            except Exception as error:
                came["wrong"] += 1
                print(f"wrong: {run.__name__} of {count}: {error!r}", flush=True)
        killer.over.set()
        killer.join()
    return came, killer.killed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("dask", "ray"))
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="of what is killed and run; told at the end")
    arguments = parser.parse_args()
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    module = importlib.import_module(f"tests.{arguments.engine}_nodes")
    staff.START_S, importlib.import_module(f"procession._cluster.{arguments.engine}").START_S = 300, 240
    cluster = module.Cluster(Path(tempfile.mkdtemp()), NODES)
    try:
        came, killed = campaign(cluster, 60 * arguments.minutes, random.Random(seed))
    finally:
        cluster.close()
    print(f"{arguments.engine}, {arguments.minutes:g} minutes, seed {seed}: maps {dict(came)}, killed {dict(killed)}")
    raise SystemExit(1 if came["wrong"] or came["hung"] or not came["right"] else 0)


if __name__ == "__main__":
    main()
