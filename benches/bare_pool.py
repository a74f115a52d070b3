"""A program that imports next to nothing, and uses pools: python benches/bare_pool.py LIBRARY START_METHOD COUNT

Prints the median of milliseconds for start, first result and stop of a pool of 2, of pools that are not its first.
"""

import sys
import time

WORKERS = 2


def use_once(context):
    """Starts a pool, uses it, stops it; returns the milliseconds."""
    begun = time.perf_counter()
    with context.Pool(WORKERS) as pool:
        pool.apply(abs, (1,))
        pool.close()
        pool.join()
    return (time.perf_counter() - begun) * 1e3


if __name__ == "__main__":
    from pathlib import Path

    sys.path[0] = str(Path(__file__).parent.parent)

    from benches import libraries

    library, method, count = sys.argv[1:]
    context = libraries.load(library, method, each_start_method=True)
    use_once(context)
    times = sorted(use_once(context) for _ in range(int(count)))
    print((times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2)
