"""Large buffers travel through shared memory: what arrives, and that nothing stays behind."""

import os

import numpy as np
import pytest

SIZES = (0, 1, 1000, 32 * 1024 - 1, 32 * 1024, 1 << 20, 24 << 20)


def identity(x):
    return x


def double_in_place(array):
    array *= 2
    return array


def total(arrays):
    return sum(float(a.sum()) for a in arrays)


def make(n):
    return np.full(n, 7, dtype=np.uint8)


def rss_of(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[2]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def pool(context):
    with context.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.mark.parametrize("size", SIZES)
def test_buffers_of_every_size_come_back_equal(pool, size):
    array = np.arange(size, dtype=np.uint8)
    for value in (array, bytes(array), bytearray(array), [array, array], {"a": array, "b": 1}):
        back = pool.apply(identity, (value,))
        assert type(back) is type(value)
        np.testing.assert_equal(back, value)


def test_arrays_of_every_layout_come_back_equal(pool):
    base = np.arange(60_000, dtype=np.float64).reshape(300, 200)
    read_only = base.copy()
    read_only.flags.writeable = False
    objects = np.array([None, "x", 3] * 20_000, dtype=object)
    for array in (base, base.T, np.asfortranarray(base), base[::2, ::3], read_only, objects, base[:0]):
        back = pool.map(identity, [array] * 3)
        for one in back:
            np.testing.assert_array_equal(one, array)
            assert one.dtype == array.dtype and one.shape == array.shape


def test_a_task_may_change_its_argument_and_the_caller_keeps_its_own(pool):
    array = np.ones(100_000)
    back = pool.apply(double_in_place, (array,))
    assert (back == 2).all() and (array == 1).all()
    back[0] = 5
    assert back[0] == 5


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_chunks_of_arrays_arrive_whole(pool, chunksize):
    arrays = [np.full(50_000, n, dtype=np.int32) for n in range(10)]
    back = pool.map(identity, arrays, chunksize)
    assert [int(a[0]) for a in back] == list(range(10))
    assert pool.starmap(total, [(arrays,)] * 4, chunksize) == [45 * 50_000.0] * 4


def test_memory_does_not_grow_with_the_number_of_arrays(pool):
    array = np.ones(1 << 20)
    pool.map(identity, [array] * 8)
    before = rss_of(os.getpid())
    for _ in pool.imap_unordered(identity, (array for _ in range(60))):
        pass
    for result in [pool.apply_async(make, (1 << 22,)) for _ in range(30)]:
        assert result.get(30)[0] == 7
    assert rss_of(os.getpid()) - before < 300 << 20


def _refilled(count):
    array = np.zeros(20_000)
    for number in range(count):
        array[:] = number
        yield array


def _first_and_last(array):
    return array[0], array[-1]


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_a_generator_may_refill_one_array_for_lazy_maps(context, method):
    with context.Pool(2) as pool:
        found = sorted(getattr(pool, method)(_first_and_last, _refilled(200)))
        lists = sorted(getattr(pool, method)(sum, _same_list(200)))
    assert found == [(n, n) for n in range(200)]
    assert lists == list(range(200))


def _same_list(count):
    values = [0]
    for number in range(count):
        values[0] = number
        yield values
