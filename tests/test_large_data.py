"""Large buffers travel through shared memory: what arrives, and that nothing stays behind."""

import os

import numpy as np
import procession
import pytest

SIZES = (0, 1, 1000, 32 * 1024 - 1, 32 * 1024, 1 << 20)


def identity(x):
    return x


def are_one(first, second):
    return first is second


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


@pytest.fixture(params=procession.get_all_start_methods(), scope="module")
def pool(request):
    """One for all checks of each start method."""
    with procession.get_context(request.param).Pool(2) as pool:
        assert pool.apply_async(identity, (1,)).get() == 1  # its thread begins with a call that nobody waits for
        yield pool
    pool.join()


def check_buffers(pool, size):
    array = np.arange(size, dtype=np.uint8)
    for value in (array, bytes(array), bytearray(array), [array, array], {"a": array, "b": 1}):
        back = pool.apply(identity, (value,))
        assert type(back) is type(value)
        np.testing.assert_equal(back, value)


@pytest.mark.parametrize("size", SIZES)
def test_buffers_of_every_size_come_back_equal(pool, size):
    check_buffers(pool, size)


FRAME = 64 * 1024
HEADERS = [
    b"B" + FRAME.to_bytes(4, "little"),
    b"\x8e" + FRAME.to_bytes(8, "little"),
    b"\x96" + FRAME.to_bytes(8, "little"),
]


@pytest.mark.parametrize("size", [FRAME - 1, FRAME, FRAME + 1, 5 << 20])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_inside_of_other_objects_come_back_equal(pool, kind, size):
    plain = kind(os.urandom(size))
    for value in ({"a": plain, 1: [plain, b"x" * size, "y" * size]}, [b"", plain, 3, plain], {plain[0]: (plain, None)}):
        back = pool.apply(identity, (value,))
        assert back == value
        first = back[1] if isinstance(back, list) else next(iter(back.values()))
        assert type(first[0] if isinstance(first, tuple) else first) is kind
    assert pool.map(identity, [[plain]] * 5, 2) == [[plain]] * 5


def test_one_bytearray_that_is_twice_in_an_object_stays_one(pool):
    twice = [bytearray(100_000), None]
    twice[1] = twice[0]
    back = pool.apply(identity, (twice,))
    assert back[0] is back[1] and type(back[0]) is bytearray
    back[0][0] = 1
    assert twice[0][0] == 0


@pytest.mark.parametrize("size", [1, 5_000, 100_000])
def test_one_bytearray_that_is_several_arguments_stays_one(pool, size):
    one = bytearray(size)
    back = pool.apply(identity, ((one, 1, one),))
    assert back[0] is back[2] and back == (one, 1, one)
    assert pool.apply(are_one, (one, one)) and pool.apply(are_one, (one,), {"second": one})
    assert all(a is b for a, b in pool.map(identity, [(one, one)] * 4, 2))
    first, second = pool.map(identity, [one, bytearray(size)])
    assert first is not second


def check_texts(pool, size):
    wide = "\u00e9\u4e2d\U0001f600"
    for value in ("x" * size, wide * (size // 9), "\ud800" + "y" * size, bytearray(os.urandom(size))):
        several = [(value, b"", 1), value, (value, (value,))]
        back = pool.apply(identity, (value,))
        assert back == value and type(back) is type(value)
        assert pool.map(identity, several) == several
        assert pool.map(identity, [value] * 5, 2) == [value] * 5


@pytest.mark.parametrize("size", [0, 1, 2047, 8 * 1024 - 1, 8 * 1024, FRAME])
def test_texts_and_bytearrays_of_every_size_come_back_equal(pool, size):
    check_texts(pool, size)


def test_the_largest_come_back_equal_too():
    with procession.get_context("fork").Pool(2) as pool:
        check_buffers(pool, 24 << 20)
        check_texts(pool, 5 << 20)
    pool.join()


@pytest.mark.parametrize("header", HEADERS)
def test_bytes_that_look_like_a_part_of_a_pickle_are_not_taken_for_one(pool, header):
    inner = header + bytes(FRAME) + header
    many = [header, bytes(FRAME), header, bytearray(FRAME), "B", inner, [header] * 10_000, bytes(FRAME)]
    assert pool.apply(identity, (many,)) == many
    for short in range(12):
        value = {"x": b"a" * short, "y": header[:short], "z": bytes(FRAME)}
        assert pool.apply(identity, (value,)) == value


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


def make_read_only(n):
    return read_only(np.ones(n))


def read_only(array):
    array.flags.writeable = False
    return array


def test_copies_of_read_only_arrays_can_be_written_to(pool):
    """As with the standard library: pandas hands out such arrays, and `np.frombuffer(bytes)` is one."""
    fortran = np.asfortranarray(np.ones((200, 300)))
    records = np.ones(20_000, dtype=[("a", "i1"), ("b", ">f8")])
    for array in (np.ones(3), np.ones(0), np.ones(100_000), np.ones(()), fortran, fortran[::2]):
        sent = read_only(array)
        for back in pool.map(double_in_place, [sent] * 3, 1) + pool.map(double_in_place, [sent, sent + 0], 2):
            np.testing.assert_array_equal(back, 2 * array)
        assert (sent == 1).all() and not sent.flags.writeable
    for array in (
        records,
        np.zeros(20_000, dtype="M8[s]"),
        np.frombuffer(bytes(100_001), dtype="f8", offset=1, count=9),
    ):
        back = pool.apply(identity, (read_only(array),))
        assert back.flags.writeable and back.dtype == array.dtype
        np.testing.assert_array_equal(back, array)
    for size in (3, 100_000):
        assert pool.apply(make_read_only, (size,)).flags.writeable


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
        assert result.get(60)[0] == 7
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
