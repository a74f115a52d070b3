"""Payloads for which the parent has no address space left, and what comes after them."""

import resource
import sys

import numpy as np
import procession


def make(size):
    return np.ones(size, dtype=np.uint8)


def leave(more):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))


def attempt(function, argument):
    try:
        return len(pool.apply(function, (argument,)))
    except (OSError, MemoryError) as error:
        return "address-space" if "no address space" in str(error) else type(error).__name__


if __name__ == "__main__":
    with procession.get_context(sys.argv[1]).Pool(1) as pool:
        payload = bytes(200 << 20)
        print(pool.apply(len, (b"small",)))
        leave(100 << 20)
        try:
            print(pool.apply(len, (payload,)))
        except OSError as error:
            print("no address space" in str(error), "ulimit" in str(error))
        print(pool.apply(len, (b"small",)), len(pool.map(len, [b"x" * 100_000] * 50)))
        print(attempt(make, 200 << 20) == "address-space")
        print(attempt(bytes, 200 << 20) in ("address-space", "MemoryError"))
        print(attempt(make, 2 << 20))
        leave(2 << 30)
        print(pool.apply(len, (payload,)), attempt(make, 200 << 20))
