"""What tasks change in the function itself, such as a bound method: as in `multiprocessing`, no other chunk sees it."""

import functools

import numpy as np
import pytest

SIZES = [1, 100_000]  # pickled, and in shared memory


class Counter:
    def __init__(self, size):
        self.calls = 0
        self.array = np.zeros(size)

    def count(self, _number):
        self.calls += 1
        self.array[-1] += 1
        return self.calls, int(self.array[-1])

    __call__ = count


def append(values, number):
    values.append(number)
    return len(values)


class Fragile:
    """Can be rebuilt while its file is there."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        vars(self).update(state)
        self.path.read_bytes()

    def __call__(self, _number):
        self.path.unlink(missing_ok=True)


@pytest.fixture
def pool(context):
    with context.Pool(2) as pool:
        pool.map(abs, range(100))  # so that many short tasks travel together
        yield pool
    pool.join()


@pytest.mark.parametrize("size", SIZES)
def test_each_chunk_gets_a_bound_method_as_it_was_sent(pool, size):
    counter = Counter(size)
    for function in (counter.count, counter):
        assert pool.map(function, range(8)) == [(1, 1)] * 8
        assert pool.map(function, range(40), 1) == [(1, 1)] * 40
        assert pool.map(function, range(9), 3) == [(1, 1), (2, 2), (3, 3)] * 3
        assert pool.starmap(function, [(n,) for n in range(8)]) == [(1, 1)] * 8
        assert list(pool.imap(function, range(40))) == [(1, 1)] * 40
        assert list(pool.imap(function, range(40), 2)) == [(1, 1), (2, 2)] * 20
        assert list(pool.imap_unordered(function, map(str, range(40)))) == [(1, 1)] * 40
        assert [pool.apply(function, (n,)) for n in range(3)] == [(1, 1)] * 3
    assert counter.calls == 0


def test_each_chunk_gets_a_partial_as_it_was_sent(pool):
    assert pool.map(functools.partial(append, []), range(40), 1) == [1] * 40
    assert list(pool.imap(functools.partial(append, [7]), map(float, range(40)))) == [2] * 40


def test_items_share_no_more_than_a_standard_chunk_would(pool):
    calls = [calls for calls, _ in pool.map(Counter(1), range(800))]
    assert max(calls) <= 100 and calls[0] == 1


def test_a_method_of_a_list_sees_what_the_list_holds_now(pool):
    values = [1, 2]
    get = values.__getitem__
    assert pool.map(get, [0, 1]) == [1, 2]
    values[0] = 3
    assert pool.map(get, [0, 1]) == [3, 2]


@pytest.mark.parametrize("items", [range(6), "abcdef", [[n] for n in range(6)]])
def test_what_cannot_be_rebuilt_for_the_next_chunk_fails_there(context, tmp_path, items):
    path = tmp_path / "file"
    path.touch()
    with context.Pool(1) as pool:
        pool.map(abs, range(100))
        results = pool.imap(Fragile(path), items, 1)
        assert next(results) is None
        for _ in range(5):
            with pytest.raises(FileNotFoundError):
                next(results)
        assert pool.map(abs, [-1]) == [1]
