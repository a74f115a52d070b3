"""Starts four processes, counts the primes below a limit and the words of all sources of the standard library, as
the programs beside this one do, on the nodes of a cluster: one line says where."""

import argparse
import re
import sysconfig
from collections import Counter
from pathlib import Path

import procession

WORD = re.compile(r"[A-Za-z_]+")


def print_number(num):
    print(f"Process {num}: {num}")


def is_prime(number):
    """Says whether `number` has no divisor but itself."""
    if number < 2 or number % 2 == 0:
        return number == 2
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))


def count_words(path):
    """Counts the words of one file, which each node has."""
    return Counter(WORD.findall(Path(path).read_text(encoding="utf-8", errors="replace")))


def total(counters):
    """Adds the counters of many files up."""
    words = Counter()
    for counter in counters:
        words.update(counter)
    return words


def main():
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("engine", help="dask or ray; or spawn, for processes of this machine")
    command.add_argument("--folder", default=sysconfig.get_path("stdlib"), help="(default: %(default)s)")
    command.add_argument("--limit", type=int, default=1_000_000, help="count primes below (default: %(default)s)")
    command.add_argument("--workers", type=int, help="worker processes (default: one for each CPU)")
    options = command.parse_args()
    numbers = range(options.limit)
    files = [str(path) for path in Path(options.folder).rglob("*.py") if "site-packages" not in path.parts]

    multiprocessing = procession.get_context(options.engine)  # the line

    processes = []
    for i in range(1, 5):
        p = multiprocessing.Process(target=print_number, args=(i,))
        processes.append(p)
        p.start()
    for p in processes:
        p.join()

    with multiprocessing.Pool(options.workers) as pool:
        primes = sum(pool.map(is_prime, numbers))
        words = total(pool.imap_unordered(count_words, files, chunksize=16))

    assert primes == sum(map(is_prime, numbers)), "the pool and the serial loop count primes differently"
    assert words == total(map(count_words, files)), "the pool and the serial loop count words differently"
    print(f"{primes:,} primes below {options.limit:,}, {words.total():,} words in {len(files):,} files")


if __name__ == "__main__":
    main()
