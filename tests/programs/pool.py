"""A pool of workers by all of its methods, in time and out of time."""

import sys
import time
from multiprocessing import Pool, TimeoutError, set_start_method


def square(x):
    return x * x


def power(x, y):
    return x**y


def fail(x):
    return 1 / (x - 5)


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    with Pool(processes=2) as pool:
        print(pool.map(square, range(10)))
        print(sorted(pool.imap_unordered(square, range(10))))
        print(pool.apply_async(square, (20,)).get(timeout=60))
        print(pool.starmap(power, [(2, 5), (3, 2)]), pool.apply(power, (2,), {"y": 3}))
        several = [pool.apply_async(power, (i, 2)) for i in range(4)]
        print([result.get(timeout=60) for result in several])

        it = pool.imap(square, range(3))
        print(next(it), next(it), it.next(timeout=60))

        for call in (
            lambda: pool.apply(fail, (5,)),
            lambda: pool.map(fail, range(10)),
            lambda: list(pool.imap(fail, [5])),
        ):
            try:
                call()
            except ZeroDivisionError:
                print("ZeroDivisionError, as expected")
        it, results = pool.imap(fail, range(10)), []
        while len(results) < 10:
            try:
                results.append(round(next(it), 2))
            except ZeroDivisionError:
                results.append("failed")
        print(results)

        late = pool.apply_async(time.sleep, (100,))
        try:
            late.get(timeout=0.1)
        except TimeoutError:
            print("no patience")
        ended = []
        pool.map_async(square, [1, 2, 3], callback=ended.extend).wait(60)
        print(ended)
    try:
        pool.map(square, [1])
    except ValueError:
        print("the pool is closed")

    pool = Pool(2, maxtasksperchild=2)
    result = pool.map_async(square, range(6), chunksize=1)
    pool.close()
    pool.join()
    print(result.get())

# prints:
# [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
# [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
# 400
# [32, 9] 8
# [0, 1, 4, 9]
# 0 1 4
# ZeroDivisionError, as expected
# ZeroDivisionError, as expected
# ZeroDivisionError, as expected
# [-0.2, -0.25, -0.33, -0.5, -1.0, 'failed', 1.0, 0.5, 0.33, 0.25]
# no patience
# [1, 4, 9]
# the pool is closed
# [0, 1, 4, 9, 16, 25]
