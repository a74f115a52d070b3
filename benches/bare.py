"""A program that imports next to nothing, and starts processes: python benches/bare.py MODULE START_METHOD COUNT

Prints the median of milliseconds for start and join, of children that are not its first. MODULE is a library with
multiprocessing's interface, or a dash for what the system takes without one.
"""

import os
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


def fork_and_wait():
    """Forks a child that ends at once, and waits for it; returns the milliseconds."""
    begun = time.perf_counter()
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return (time.perf_counter() - begun) * 1e3


def spawn_and_wait(code):
    """Starts an interpreter, and waits for it; returns the milliseconds."""
    begun = time.perf_counter()
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ), 0)
    return (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    module, method, count = sys.argv[1:]
    if module != "-":
        context = __import__(module).get_context(method)
        once = lambda: start_and_join(context)  # noqa: E731
    elif method == "spawn":
        once = lambda: spawn_and_wait("pass")  # noqa: E731
    else:
        once = fork_and_wait
    once()
    times = sorted(once() for _ in range(int(count)))
    print((times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2)
