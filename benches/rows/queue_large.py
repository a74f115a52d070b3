"""Large items through a queue, one process puts, another gets."""

from benches.aims import Times
from benches.rows.pipe_large import SIZE
from benches.rows.queue import get_all
from benches.workload import Workload, main, seconds

ROW = Workload("`Queue`, items of 1 MiB", "MB/s", aim=Times(10))


def put_all(queue, count):
    """Puts so many items."""
    item = bytes(SIZE)
    for _ in range(count):
        queue.put(item)


def measure(library):
    """Megabytes a second, from the first item that arrives."""
    count = library.count(500)
    # Bounded, as a queue that takes everything at once measures how fast memory fills up.
    queue = library.context.Queue(8)
    child = library.context.Process(target=put_all, args=(queue, count + 1))
    child.start()
    queue.get()
    took = seconds(get_all, queue, count)
    child.join()
    return count * SIZE / took / 1e6


if __name__ == "__main__":
    main(ROW, measure)
