"""CPU-bound tasks of 20 ms: how much of every core the pool puts to use."""

from benches.workload import Workload, cores, main, seconds

ROW = Workload("CPU-bound tasks of 20 ms: speed-up / cores", "")
TASK_S = 0.02


def compute(steps):
    """Pure Python work."""
    return sum(number * number for number in range(steps))


def measure(library):
    """The serial time by the pool's, by the number of cores."""
    steps = 100_000
    steps = int(steps * TASK_S / min(seconds(compute, steps) for _ in range(5)))
    tasks = [steps] * (library.count(100) // cores() * cores())
    with library.warm_pool(cores()) as pool:
        serial = seconds(lambda: list(map(compute, tasks)))
        return serial / seconds(pool.map, compute, tasks) / cores()


if __name__ == "__main__":
    main(measure)
