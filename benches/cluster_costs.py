"""What a pool on a cluster costs: time to begin, memory of the program and of a node, CPU of the program a task.

`python -m benches.cluster_costs dask`, or `ray`: on clusters of 1, 2, 4 and 8 nodes of one worker on this machine. CPU
a task is that of the whole program, the engine's threads with ours, and should not grow with the nodes but for the few
messages to each of them for a map: `--tasks 200000` has them matter less.
"""

import argparse
import importlib
import tempfile
import time
from pathlib import Path

import procession
import psutil

ROUNDS = 3


def double(number):
    return 2 * number


def own_mib(process):
    """Return the memory that a process shares with no other."""
    return process.memory_full_info().uss / 2**20


def whole_mib(node):
    """Return the same of a node, with all that it has started."""
    root = psutil.Process(node.pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            total += own_mib(process)
        except psutil.NoSuchProcess:
            pass
    return total


def measure(engine, count, tasks):
    """Print a line for a cluster of so many nodes."""
    this = psutil.Process()
    cluster = importlib.import_module(f"tests.{engine}_nodes").Cluster(Path(tempfile.mkdtemp()), count)
    try:
        context = procession.get_context(engine)
        program, node = own_mib(this), whole_mib(cluster.nodes[0])
        began = time.perf_counter()
        with context.Pool(count) as pool:
            pool.map(double, range(10 * count), 1)
            up = time.perf_counter() - began
            best: dict = {}
            for label, chunk in (("chunksize 1", 1), ("default", None)):
                for _ in range(ROUNDS):
                    before = time.process_time()
                    pool.map(double, range(tasks), chunk)
                    spent = (time.process_time() - before) / tasks * 1e6
                    best[label] = min(best.get(label, spent), spent)
            costs = ", ".join(f"{spent:6.1f} us a task ({label})" for label, spent in best.items())
            program, node = own_mib(this) - program, whole_mib(cluster.nodes[0]) - node
            print(f"{engine}, {count} nodes: begins in {up:5.2f} s, {program:5.1f} MiB in the program, ", end="")
            print(f"{node:5.1f} MiB in a node with its worker, CPU {costs}", flush=True)
    finally:
        cluster.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("dask", "ray"))
    parser.add_argument("--nodes", default="1,2,4,8", help="how many, of each cluster")
    parser.add_argument("--tasks", type=int, default=20_000, help="how many a map has (20000)")
    arguments = parser.parse_args()
    for count in map(int, arguments.nodes.split(",")):
        measure(arguments.engine, count, arguments.tasks)


if __name__ == "__main__":
    main()
