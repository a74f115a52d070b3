"""Payloads of more than 2 and more than 4 GiB, as far as there is memory for them, each way; nothing stays behind."""

import argparse
import functools
import os
import select
import subprocess
import sys

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


def held(pid="self"):
    """Bytes of memory in segments that a process has open."""
    links = (f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd"))
    files = {}
    for link in links:
        try:
            if "memfd" in os.readlink(link):
                file = os.stat(link)
                files[file.st_ino] = file.st_blocks * 512
        except OSError:
            pass  # It was closed meanwhile.
    return sum(files.values())


class Peaks:
    """The most memory that this process and its children had meanwhile; another process looks, which nothing holds up.

    Attributes:
        own: private memory of this process, in bytes.
        all: private memory of all of them, and what their segments have, each once.
    """

    def __enter__(self):
        command = [sys.executable, "-m", "benches.faults.huge", "--watch", str(os.getpid())]
        self._watch = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.own, self.all = map(int, self._watch.communicate("")[0].split())


def watch(parent):
    """Print the peaks of `parent` when standard input ends."""
    peaks = [0, 0]
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        pids = {pid for pid in descendants([parent]) if pid != os.getpid()}
        own = private(parent)
        total = sum(map(private, pids)) + held(parent)
        peaks = [max(peaks[0], own), max(peaks[1], total)]
    print(*peaks)


def descendants(pids):
    """Processes, theirs, and so on."""
    for pid in pids:
        yield pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                children = file.read().split()
            yield from descendants(map(int, children))
        except OSError:
            pass  # It has ended.


def private(pid):
    """Bytes of private memory that a process has; 0 when it has ended."""
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0


def attempt(method, size):
    """Sends and receives `size` bytes in every way."""
    import numpy

    # A forked worker would keep what is there before.
    with procession.get_context(method).Pool(1) as pool:
        pool.apply(abs, (1,))
        plain = make(size).tobytes()
        expected = ends(plain)
        assert ends(pool.apply(echo, (plain,))) == expected, "bytes there and back"
        data = numpy.frombuffer(plain, numpy.uint8)
        del plain
        assert ends(pool.apply(echo, (data,))) == expected, "array there and back"
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
    command.add_argument("--watch", type=int, metavar="PID", help=argparse.SUPPRESS)
    options = command.parse_args()
    if options.watch:
        return watch(options.watch)
    for gib in options.gib:
        size = int(gib * GIB) + 5
        for method in ("fork", "forkserver"):
            # The original, its copy in the worker, and the block that this comes back in or what is made of that.
            if available() < 3.5 * size:
                print(f"{gib} GiB: not enough memory to try")
                break
            with Peaks() as peaks:
                attempt(method, size)
            times = f"{peaks.all / size:.2f} times that in all processes at most, {peaks.own / size:.2f} in this one"
            print(f"{gib} GiB by {method}: ok, {times}", flush=True)


if __name__ == "__main__":
    main()
