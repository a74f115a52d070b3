"""What an idle worker adds to the memory in use."""

import os
from pathlib import Path

from benches.aims import Times
from benches.workload import Workload, main, pause

ROW = Workload(
    "memory an idle worker adds (PSS, pool of 8)",
    "MiB",
    higher_is_better=False,
    each_start_method=True,
    whole=True,
    aim={"fork": Times(1.25), "forkserver": Times(2.5)},
)
WORKERS = 8


def own_pid(_):
    """Tells which worker ran it."""
    pause(0.02)
    return os.getpid()


def pss_mib(pid):
    """A process's memory; what several share is counted in part for each."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure(library):
    """MiB: what parent and workers have now, less what the parent had before, by the number of workers."""
    before = pss_mib(os.getpid())
    with library.warm_pool(WORKERS) as pool:
        workers = set(pool.map(own_pid, range(8 * WORKERS), 1))
        return (sum(map(pss_mib, workers)) + pss_mib(os.getpid()) - before) / len(workers)


if __name__ == "__main__":
    main(ROW, measure)
