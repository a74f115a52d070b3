"""Counts the words of all Python sources of the standard library, once serially and once in a pool, and compares."""

import argparse
import re
import sysconfig
import time
from collections import Counter
from pathlib import Path

import procession as multiprocessing

WORD = re.compile(r"[A-Za-z_]+")


def count_words(path):
    """Counts the words of one file."""
    return Counter(WORD.findall(Path(path).read_text(encoding="utf-8", errors="replace")))


def total(counters):
    """Adds the counters of many files up."""
    words = Counter()
    for counter in counters:
        words.update(counter)
    return words


def main():
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("folder", nargs="?", default=sysconfig.get_path("stdlib"), help="(default: %(default)s)")
    command.add_argument("--workers", type=int, help="worker processes (default: one for each core)")
    options = command.parse_args()
    files = [str(path) for path in Path(options.folder).rglob("*.py") if "site-packages" not in path.parts]

    started = time.perf_counter()
    serially = total(map(count_words, files))
    serial_s = time.perf_counter() - started

    started = time.perf_counter()
    with multiprocessing.Pool(options.workers) as pool:
        in_pool = total(pool.imap_unordered(count_words, files, chunksize=16))
    pool_s = time.perf_counter() - started

    print(f"{len(files):,} files, {in_pool.total():,} words; the most frequent:")
    print("  " + ", ".join(f"{word} {count:,}" for word, count in in_pool.most_common(6)))
    print(f"serial {serial_s:.2f} s, pool {pool_s:.2f} s: {serial_s / pool_s:.2f} times as fast")
    assert in_pool == serially, "the pool and the serial loop count differently"
    print("The two counts agree.")


if __name__ == "__main__":
    main()
