"""Items of a map that are pickled together, as far as a chunk of multiprocessing goes: each still stands alone."""

import os
import signal

import procession
import pytest

WORKERS = 2


class Counted:
    """Counts in itself how often it was used."""

    def __init__(self):
        self.uses = 0

    def use(self):
        self.uses += 1
        return self.uses


class Unloadable:
    def __reduce__(self):
        return int, ("no number",)


class Unpicklable:
    def __reduce__(self):
        raise ValueError("this is not to be pickled")


def use(counted):
    return counted.use()


def give(value):
    return value


def kill_at(item):
    index, _ = item
    if index == 31:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


def test_few_items_share_nothing(context):
    with context.Pool(WORKERS) as pool:
        assert pool.map(use, [Counted()] * 4 * WORKERS) == [1] * 4 * WORKERS
        assert pool.map(use, [Counted()] * 100, chunksize=1) == [1] * 100
        assert list(pool.imap(use, [Counted()] * 100)) == [1] * 100
    pool.join()


def test_many_items_share_what_they_share_in_a_chunk_of_multiprocessing(context):
    count = 1000
    chunk = count // (4 * WORKERS)
    with context.Pool(WORKERS) as pool:
        uses = pool.map(use, [Counted()] * count)
    pool.join()
    assert all(used <= 1 + index % chunk for index, used in enumerate(uses))


def test_values_of_many_kinds_come_back_in_order(context):
    values = [[range(n), {"n": n}, [n], {n}, f"text {n}", n][n % 6] for n in range(2000)]
    with context.Pool(WORKERS) as pool:
        assert pool.map(give, values) == values
        assert pool.starmap(max, [(n, [n])[:1] * 2 for n in range(300)]) == list(range(300))
    pool.join()


def test_an_item_that_cannot_be_pickled_fails_alone(context):
    items = [range(n) for n in range(100)]
    items[40] = Unpicklable()
    with context.Pool(WORKERS) as pool:
        with pytest.raises(ValueError, match="this is not to be pickled"):
            pool.map(give, items)
        assert pool.map(len, items[:40]) == list(range(40))
    pool.join()


def test_an_item_that_cannot_be_rebuilt_fails_alone(context):
    items = [range(n) for n in range(100)]
    items[40] = Unloadable()
    with context.Pool(WORKERS) as pool:
        with pytest.raises(ValueError, match="no number"):
            pool.map(give, items)
        done = []
        pool.map_async(give, items, error_callback=done.append).wait()
        assert str(done[0]).startswith("invalid literal")
        assert pool.map(len, items[:40]) == list(range(40))
    pool.join()


def test_a_worker_that_dies_takes_one_item_with_it(context):
    with context.Pool(WORKERS) as pool:
        with pytest.raises(procession.WorkerDied, match=r"kill_at\(\(31, range\(0, 31\)\)\)"):
            pool.map(kill_at, [(n, range(n)) for n in range(100)])
        assert pool.map(kill_at, [(n, range(n)) for n in range(31)]) == list(range(31))
    pool.join()
