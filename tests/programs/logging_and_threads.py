"""Messages of the package on stderr, and the same interface on threads."""

import logging
import multiprocessing
import multiprocessing.dummy
import sys
from multiprocessing.pool import ThreadPool


def work(numbers):
    numbers.append(sum(numbers))


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    logger = multiprocessing.log_to_stderr()
    logger.setLevel(logging.INFO)
    logger.warning("doomed")
    child = multiprocessing.Process(target=work, args=([1, 2],))
    child.start()
    child.join()
    logger.setLevel(logging.ERROR)

    numbers = [1, 2]
    thread = multiprocessing.dummy.Process(target=work, args=(numbers,))
    thread.start()
    thread.join()
    print(numbers)
    with ThreadPool(2) as pool:
        print(pool.map(abs, [-1, -2]), pool.apply_async(len, ("abc",)).get(60))
    with multiprocessing.dummy.Pool(2) as pool:
        print(sorted(pool.imap_unordered(abs, [-3])))

# prints:
# [1, 2, 3]
# [1, 2] 3
# [3]
