"""What this machine gives without any library: python -m benches.limits

Each number is the best of many, so that what else runs counts little. The rows of `python -m benches` stand on these: a
task costs at least its call, what is not kept as plain bytes its pickling, and whoever slept a wake-up.
"""

import argparse
import mmap
import os
import pickle
import time

from benches import bare

MIB = 1 << 20


def main():
    """Print the table."""
    command = argparse.ArgumentParser(prog="python -m benches.limits", description=__doc__)
    command.add_argument("--times", type=int, default=50, help="how often each is measured (default: %(default)s)")
    times = command.parse_args().times
    print("| what | unit | best |\n|---|---|---|")
    for what, unit, value in limits(times):
        print(f"| {what} | {unit} | {value:.3g} |")


def limits(times):
    """Yield what each limit is of, its unit, and its value, the best of `times`."""
    numbers, many = range(1000), [0] * 1000
    point = (max, (1, 2))
    # A thousand at a time.
    yield "a call of a Python function", "ns", best(times, lambda: list(map(same, numbers))) * 1e6
    yield (
        "a number pickled and unpickled",
        "ns",
        best(times, lambda: [copied(7) for _ in many]) * 1e6,
    )
    yield "a function and arguments, the same", "ns", best(times, lambda: [copied(point) for _ in many]) * 1e6
    with Pair() as pair:
        yield "100 bytes written to a pipe and read again", "us", best(times, pair.alone) * 1e6
        yield "100 bytes to a child that sleeps, and back", "us", best(10 * times, pair.there_and_back) * 1e6
    used, source = bytearray(16 * MIB), bytes(16 * MIB)
    yield (
        "16 MiB copied to memory that was used before",
        "GB/s",
        16 * MIB / best(times, lambda: fill(used, source)) / 1e9,
    )
    yield "16 MiB copied to new shared memory", "GB/s", 16 * MIB / best(times, lambda: fill_new(source)) / 1e9
    yield "`os.fork`, the child's end, `os.waitpid`", "ms", min(bare.fork_and_wait() for _ in range(times))
    yield "`python -c pass`", "ms", min(bare.spawn_and_wait("pass") for _ in range(max(3, times // 10)))


def same(number):
    return number


def copied(value):
    return pickle.loads(pickle.dumps(value))


def best(times, work):
    """The seconds that `work` takes at best."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def fill(memory, source):
    memory[:] = source


def fill_new(source):
    with mmap.mmap(-1, len(source)) as memory:
        memory[:] = source


class Pair:
    """This process and a child that sends back what it gets."""

    def __enter__(self):
        (self.near, far), (back, self.far) = os.pipe(), os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(self.far)
            while data := os.read(back, 100):
                os.write(far, data)
            os._exit(0)
        self.own = os.pipe()
        os.close(far)
        os.close(back)
        return self

    def __exit__(self, *_):
        os.close(self.far)
        os.waitpid(self.child, 0)
        for descriptor in (self.near, *self.own):
            os.close(descriptor)

    def alone(self):
        os.write(self.own[1], b"x" * 100)
        os.read(self.own[0], 100)

    def there_and_back(self):
        os.write(self.far, b"x" * 100)
        os.read(self.near, 100)


if __name__ == "__main__":
    main()
