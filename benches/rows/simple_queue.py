"""Integers through a `SimpleQueue`, one process puts, another gets."""

from benches.aims import Times
from benches.rows.queue import get_all, put_all
from benches.workload import Workload, main, seconds

ROW = Workload("`SimpleQueue` of ints, one to one", "k/s", aim=Times(6))


def measure(library):
    """Thousands of items a second, from the first that arrives."""
    count = library.count(100_000)
    queue = library.context.SimpleQueue()
    child = library.context.Process(target=put_all, args=(queue, count + 1))
    child.start()
    queue.get()
    took = seconds(get_all, queue, count)
    child.join()
    return count / took / 1e3


if __name__ == "__main__":
    main(ROW, measure)
