"""Integers through a queue, one process puts, another gets."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Queue` of ints, one to one", "k/s", aim=Times(6))


def put_all(queue, count):
    """Puts so many integers."""
    for number in range(count):
        queue.put(number)


def get_all(queue, count):
    """Gets so many items."""
    for _ in range(count):
        queue.get()


def measure(library):
    """Thousands of items a second, from the first that arrives."""
    return rate(library, library.context.Queue())


def rate(library, queue):
    """Thousands of items a second through a queue of any kind, from the first that arrives."""
    count = library.count(100_000)
    child = library.context.Process(target=put_all, args=(queue, count + 1))
    child.start()
    queue.get()
    took = seconds(get_all, queue, count)
    child.join()
    return count / took / 1e3


if __name__ == "__main__":
    main(ROW, measure)
