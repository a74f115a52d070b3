"""tqdm: a bar over the results of a lazy map."""

import io
import sys

import procession as multiprocessing
from tqdm import tqdm


def square(number):
    return number * number


if __name__ == "__main__":
    # Its lock first, so that no thread of its own watches the bar while workers start.
    tqdm.monitor_interval = 0
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        bar = tqdm(pool.imap(square, range(100), 10), total=100, file=io.StringIO())
        assert list(bar) == [square(number) for number in range(100)]
