"""Counts the primes below a limit, once serially and once in a pool, and compares."""

import argparse
import time

import procession as multiprocessing


def is_prime(number):
    """Says whether `number` has no divisor but itself."""
    if number < 2 or number % 2 == 0:
        return number == 2
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))


def main():
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--limit", type=int, default=1_000_000, help="count those below (default: %(default)s)")
    command.add_argument("--workers", type=int, help="worker processes (default: one for each core)")
    options = command.parse_args()
    numbers = range(options.limit)

    started = time.perf_counter()
    serially = sum(map(is_prime, numbers))
    serial_s = time.perf_counter() - started

    started = time.perf_counter()
    with multiprocessing.Pool(options.workers) as pool:
        in_pool = sum(pool.map(is_prime, numbers))
    pool_s = time.perf_counter() - started

    print(f"{in_pool:,} primes below {options.limit:,}")
    print(f"serial {serial_s:.2f} s, pool {pool_s:.2f} s: {serial_s / pool_s:.2f} times as fast")
    assert in_pool == serially, f"the pool counted {in_pool}, the serial loop {serially}"
    print("The two counts agree.")


if __name__ == "__main__":
    main()
