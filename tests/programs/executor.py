"""The executor of `concurrent.futures`, in a program that knows nothing of who runs its processes."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed


def is_prime(n):
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def begin(value):
    global begun
    begun = value


def tell():
    return begun


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    numbers = [112272535095293 % 100003, 97, 98, 7919, 1]
    with ProcessPoolExecutor(2, mp_context=context, initializer=begin, initargs=("begun",)) as executor:
        print(list(executor.map(is_prime, numbers, chunksize=2)))
        futures = {executor.submit(pow, 2, n): n for n in range(5)}
        print(sorted((futures[future], future.result()) for future in as_completed(futures)))
        print(executor.submit(tell).result(), repr(executor.submit(int, "x").exception()))

# prints:
# [False, True, False, True, False]
# [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16)]
# begun ValueError("invalid literal for int() with base 10: 'x'")
