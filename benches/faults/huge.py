"""Payloads of more than 2 and more than 4 GiB, as far as there is memory for them, each way; nothing stays behind."""

import argparse
import functools
import os

import procession

GIB = 1 << 30


def ends(data):
    """The first, some middle and the last byte."""
    return int(data[0]), int(data[len(data) // 2]), int(data[-1])


def echo(data):
    """What it gets."""
    return data


def make(size):
    """A large array."""
    import numpy

    data = numpy.ones(size, numpy.uint8)
    data[-1] = 9
    return data


def ends_of(data, _):
    """The ends of the first argument."""
    return ends(data)


def available():
    """Bytes of memory that could be had."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))


def held():
    """Bytes of memory in segments that this process has open."""
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sum(os.stat(link).st_blocks * 512 for link in links if os.path.exists(link) and "memfd" in os.readlink(link))


def attempt(method, size):
    """Sends and receives `size` bytes in every way."""
    import numpy

    data = make(size)
    expected = ends(data)
    with procession.get_context(method).Pool(1) as pool:
        assert pool.apply(ends, (data,)) == expected, "argument"
        assert pool.map(functools.partial(ends_of, data), [0, 1]) == [expected] * 2, "bound in the function"
        assert ends(pool.apply(make, (size,))) == expected, "result"
        shared = pool.share(data)
        del data
        assert pool.apply(ends, (shared,)) == expected, "shared"
        assert ends(numpy.frombuffer(pool.apply(bytes, (shared,)), numpy.uint8)) == expected, "bytes as a result"
        del shared
    pool.join()
    assert held() == 0, f"{held():,} bytes are left"


def main():
    """Tries all sizes with two start methods."""
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--gib", type=float, nargs="*", default=[2.5, 4.1], help="sizes (default: %(default)s)")
    for gib in command.parse_args().gib:
        size = int(gib * GIB) + 5
        for method in ("fork", "forkserver"):
            # The original, its copy in the worker, both of their blocks, and what comes back.
            if available() < 5 * size:
                print(f"{gib} GiB: not enough memory to try")
                break
            attempt(method, size)
            print(f"{gib} GiB by {method}: ok", flush=True)


if __name__ == "__main__":
    main()
