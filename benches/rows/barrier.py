"""Two processes that meet again and again."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Barrier` of two", "us", higher_is_better=False, aim=Times(1))


def meet(barrier, count):
    """Meets the other so many times."""
    for _ in range(count):
        barrier.wait()


def measure(library):
    """Microseconds a meeting takes."""
    count = library.count(2_000)
    barrier = library.context.Barrier(2)
    child = library.context.Process(target=meet, args=(barrier, count + 1))
    child.start()
    barrier.wait()
    took = seconds(meet, barrier, count)
    child.join()
    return took / count * 1e6


if __name__ == "__main__":
    main(ROW, measure)
