"""Tasks of very different lengths, the longest first, chunks left to the library."""

import random

from benches.aims import AtMost
from benches.workload import WORKERS, Workload, main, pause, seconds

ROW = Workload(
    "uneven tasks (Pareto, sorted): makespan / ideal", "", higher_is_better=False, whole=True, aim=AtMost(1.03)
)
TASKS, TOTAL_S = 200, 3.0


def lengths(total):
    """The tasks' lengths in seconds, descending, of `total` seconds in all."""
    draw = random.Random(2)
    found = sorted((draw.paretovariate(1.1) for _ in range(TASKS)), reverse=True)
    return [length * total / sum(found) for length in found]


def measure(library):
    """The time a map of all takes, by the least it could take."""
    tasks = lengths(TOTAL_S / 3 if library.quick else TOTAL_S)
    ideal = max(tasks[0], sum(tasks) / WORKERS)
    with library.warm_pool() as pool:
        return seconds(pool.map, pause, tasks) / ideal


if __name__ == "__main__":
    main(ROW, measure)
