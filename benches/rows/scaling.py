"""CPU-bound tasks of 20 ms: how much of every core the pool puts to use."""

from benches.aims import AtLeast
from benches.workload import Workload, cores, in_bare_processes, main, seconds

ROW = Workload("CPU-bound tasks of 20 ms: speed-up / cores", "", whole=True, aim=AtLeast(0.98))
TASK_S = 0.02


def compute(steps):
    """Pure Python work."""
    return sum(number * number for number in range(steps))


def measure(library):
    """The serial time by the pool's, by the number of cores."""
    tasks = tasks_of(library)
    with library.warm_pool(cores()) as pool:
        return speed_up(tasks, pool.map, compute, tasks) / cores()


def limit(amount):
    """The same of bare processes, one a core: what this machine's cores give at all."""
    tasks = tasks_of(amount)
    return speed_up(tasks, in_bare_processes, compute, tasks, cores()) / cores()


def tasks_of(amount):
    """The steps of each task, as many tasks for each core."""
    steps = 100_000
    steps = int(steps * TASK_S / min(seconds(compute, steps) for _ in range(5)))
    return [steps] * (amount.count(100) // cores() * cores())


def speed_up(tasks, function, *arguments):
    """The serial time by that of a call which does the same in several processes."""
    return seconds(lambda: list(map(compute, tasks))) / seconds(function, *arguments)


if __name__ == "__main__":
    main(ROW, measure, limit)
