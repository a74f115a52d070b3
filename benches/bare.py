"""A program that imports next to nothing, and starts processes: python benches/bare.py LIBRARY START_METHOD COUNT

Prints the median of milliseconds for start and join, of children that are not its first.
"""

import sys
import time


def nothing():
    """What the child does."""


def start_and_join(context):
    """Starts one child and waits for it; returns the milliseconds."""
    begun = time.perf_counter()
    child = context.Process(target=nothing)
    child.start()
    child.join()
    return (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    library, method, count = sys.argv[1:]
    context = __import__(library).get_context(method)
    start_and_join(context)
    times = sorted(start_and_join(context) for _ in range(int(count)))
    print(times[len(times) // 2])
