"""A program that ends while daemon threads of it use pools; started by `races.py`."""

import random
import sys
import threading
import time

import procession
from procession.futures import ProcessPoolExecutor

POOLS = 4
LONGEST_S = 0.02


def use_pool(pool):
    """Hand in jobs for as long as the program lives: it is not told of its end."""
    while True:
        random.choice([pool.map, pool.map_async, lambda f, items: next(pool.imap(f, items))])(abs, [-1])
        pool.apply(abs, (-1,))


def use_executor(executor):
    """Hand in calls until they are refused."""
    try:
        while True:
            executor.submit(abs, -1).result()
    except RuntimeError:
        pass


def main():
    """Start the threads, and end."""
    kind, method, count = sys.argv[1:]
    context = procession.get_context(method)
    for _ in range(POOLS):
        if kind == "Executors":
            use, pool = use_executor, ProcessPoolExecutor(2, context)
        else:
            use, pool = use_pool, context.Pool(2)
        for _ in range(int(count)):
            threading.Thread(target=use, args=(pool,), daemon=True).start()
    time.sleep(random.random() * LONGEST_S)


if __name__ == "__main__":
    main()
