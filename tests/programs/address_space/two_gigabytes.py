"""A pool, and payloads of 300 MiB, in 2 GB of address space for each process."""

import resource
import sys

resource.setrlimit(resource.RLIMIT_AS, (2_000_000_000, 2_000_000_000))

import procession  # noqa: E402


def twice(payload):
    return payload + payload


def back(payload):
    return payload


if __name__ == "__main__":
    with procession.get_context(sys.argv[1]).Pool(2) as pool:
        print(sum(pool.map(len, [b"x" * 1000] * 1000)))
        payload = b"ab" * (150 << 20)
        print(pool.apply(len, (payload,)))
        print(pool.apply(back, (payload,)) == payload)
        del payload
        print(len(pool.apply(twice, (bytearray(150 << 20),))))
        print(sum(pool.map(len, [bytes(20 << 20)] * 8)) >> 20)
