"""Payloads of a few KiB in and out."""

import os

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("10 k payloads of 10 KiB in and out", "MB/s", whole=True, aim=Times(4.5))
PAYLOAD_BYTES = 10 << 10


def echo(payload):
    """A task that gives back what it gets."""
    return payload


def measure(library):
    """Megabytes a second, both ways together."""
    payloads = [os.urandom(PAYLOAD_BYTES) for _ in range(library.count(10_000))]
    with library.warm_pool() as pool:
        pool.map(echo, payloads[:1000])
        return 2 * len(payloads) * PAYLOAD_BYTES / seconds(pool.map, echo, payloads) / 1e6


if __name__ == "__main__":
    main(ROW, measure)
