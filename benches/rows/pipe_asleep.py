"""A small message there and back, when both sides have gone to sleep."""

import time

from benches.aims import Times
from benches.rows.pipe import echo
from benches.workload import Workload, main

ROW = Workload("`Pipe` ping-pong after 2 ms of nothing", "us", higher_is_better=False, aim=Times(1))


def measure(library):
    """Microseconds of the median round trip."""
    count = library.count(500)
    ours, theirs = library.context.Pipe()
    child = library.context.Process(target=echo, args=(theirs,))
    child.start()
    times = []
    for number in range(count):
        time.sleep(0.002)
        started = time.perf_counter()
        ours.send(number)
        ours.recv()
        times.append(time.perf_counter() - started)
    ours.send(None)
    child.join()
    return sorted(times)[count // 2] * 1e6


if __name__ == "__main__":
    main(ROW, measure)
