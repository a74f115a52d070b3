"""What workers need, from a program that imports little: python benches/bare_memory.py LIBRARY START_METHOD WORKERS

Prints the MiB that an idle worker adds to what its parent had before.
"""

import os
import sys
import time


def own_pid(_):
    """Tells which worker ran it."""
    time.sleep(0.02)
    return os.getpid()


def pss_mib(pid):
    """A process's memory; what several share is counted in part for each."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def added_by_worker(context, workers):
    """MiB: what parent and workers have now, less what the parent had before, by the number of workers."""
    before = pss_mib(os.getpid())
    with context.Pool(workers) as pool:
        found = set(pool.map(own_pid, range(12 * workers), 1))
        return (sum(map(pss_mib, found)) + pss_mib(os.getpid()) - before) / len(found)


if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    from benches import libraries

    library, method, count = sys.argv[1:]
    print(added_by_worker(libraries.load(library, method, each_start_method=True), int(count)))
