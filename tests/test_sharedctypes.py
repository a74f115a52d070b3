"""Values and arrays in shared memory, and the heap they come from."""

import ctypes
import threading

import procession
import pytest
from procession import heap, sharedctypes

LIMIT = 60


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


def run(context, target, *args):
    child = context.Process(target=target, args=args)
    child.start()
    child.join(LIMIT)
    assert child.exitcode == 0


def double(value, raw, array, points, text):
    value.value *= 2
    raw.value *= 2
    for i in range(len(array)):
        array[i] *= 2
    points[0].x *= 2
    with text.get_lock():
        text.value = text.value.upper()


def test_a_child_changes_what_the_parent_sees(context):
    value, raw = context.Value("i", 7), context.RawValue(ctypes.c_double, 1.5)
    array, points = context.Array("d", range(5)), context.Array(Point, [(3, 0.5)])
    text = context.Array("c", b"hello")
    run(context, double, value, raw, array, points, text)
    assert (value.value, raw.value) == (14, 3.0)
    assert array[:] == [0, 2, 4, 6, 8]
    assert points[0].x == 6
    assert text.value == b"HELLO"


def count(value):
    for _ in range(500):
        with value.get_lock():
            value.value += 1


def test_no_count_is_lost_under_the_lock(context):
    value = context.Value("q", 0)
    children = [context.Process(target=count, args=(value,)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(LIMIT)
    assert value.value == 1000


def test_a_lock_may_be_given_made_or_left_out(context):
    lock = context.Lock()
    assert context.Value("i", 1, lock=lock).get_lock() is lock
    assert isinstance(context.Value("i", 1, lock=False), ctypes.c_int)
    assert hasattr(context.Array("i", 3, lock=True), "get_obj")
    with pytest.raises(AttributeError):
        context.Value("i", 1, lock="no lock")


def test_arrays_have_slices_and_begin_with_zeros():
    array = procession.Array("i", 10)
    assert array[:] == [0] * 10 and len(array) == 10
    array[2:4] = [5, 6]
    assert array[1:5] == [0, 5, 6, 0]
    with pytest.raises(ValueError):
        array[0:2] = [1]


LETTERS = "bBhHiIlLqQfd"
# What a C type takes, cuts off, or refuses.
GIVEN = [0, 1, -1, 127, 128, 255, 1 << 31, 1 << 40, -(1 << 63), (1 << 64) - 1, 1 << 70, True, 0.5, float("inf")]
GIVEN += ["1", None, 1j, ctypes.c_int(3)]


def outcome(read, change, *args):
    try:
        change(*args)
        return repr(read())
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("letter", LETTERS)
def test_a_number_is_stored_and_read_as_ctypes_does_it(letter):
    guarded, raw = procession.Value(letter, 3), procession.RawValue(letter, 3)
    pair, raw_pair = procession.Array(letter, [3, 4]), procession.RawArray(letter, [3, 4])
    for given in GIVEN:
        want = outcome(lambda: raw.value, setattr, raw, "value", given)
        assert outcome(lambda: guarded.value, setattr, guarded, "value", given) == want, given
        assert guarded.get_obj().value == raw.value
        want = outcome(lambda: raw_pair[:], raw_pair.__setitem__, 1, given)
        assert outcome(lambda: pair[:], pair.__setitem__, 1, given) == want, given
    assert not guarded.get_lock().locked() and not pair.get_lock().locked()


def test_the_value_of_an_object_stays_and_is_its_own():
    value, array = procession.Value("i", 3), procession.Array("i", 3)
    with pytest.raises((AttributeError, TypeError)):
        del value.value
    assert value.value == 3 and not value.get_lock().locked() and not hasattr(array, "value")
    with pytest.raises(TypeError):
        type(value).value.__get__(array.get_obj())
    with pytest.raises(TypeError):
        value.get_lock(1)


@pytest.mark.parametrize("index", [0, 1, -1, -2, 2, -3, 1 << 70, True, "0", None, slice(0, 1), slice(None, None, -1)])
def test_an_index_means_what_it_means_to_ctypes(index):
    array, raw = procession.Array("i", [3, 4]), procession.RawArray("i", [3, 4])
    assert list(array) == [3, 4]
    assert outcome(lambda: array[index], bool) == outcome(lambda: raw[index], bool)
    for given in (7, [7], [7, 8]):
        want = outcome(lambda: raw[:], raw.__setitem__, index, given)
        assert outcome(lambda: array[:], array.__setitem__, index, given) == want
    assert len(array) == 2 and not array.get_lock().locked()


class CountingLock:
    def __init__(self):
        self.acquired = self.released = 0

    def acquire(self):
        self.acquired += 1

    def release(self):
        self.released += 1


@pytest.mark.parametrize("make", [procession.Lock, procession.RLock, CountingLock])
def test_each_access_is_made_under_the_lock(make):
    lock = make()
    value, array = procession.Value("i", 1, lock=lock), procession.Array("i", [1, 2], lock=lock)
    value.value += array[0]
    array[1] = value.value
    assert (value.value, array[:]) == (2, [1, 2])
    assert value.get_lock() is array.get_lock() is lock
    if make is CountingLock:
        assert lock.acquired == lock.released == 7
    else:
        lock.acquire()
        assert not outcome_in_a_thread(lambda: lock.acquire(timeout=0))
        lock.release()


def outcome_in_a_thread(call):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    thread.join(LIMIT)
    return answers[0]


def test_an_access_waits_for_whoever_holds_the_lock():
    value, seen = procession.Value("i", 1), []
    reader = threading.Thread(target=lambda: seen.append(value.value))
    with value.get_lock():
        reader.start()
        value.value = 2
    reader.join(LIMIT)
    assert seen == [2]


def test_an_object_that_is_not_in_shared_memory_is_guarded_too():
    wrapped = sharedctypes.synchronized(ctypes.c_int(5))
    wrapped.value += 1
    assert (wrapped.value, wrapped.get_obj().value) == (6, 6)
    pair = sharedctypes.synchronized((ctypes.c_int * 2)(5, 6))
    pair[0] += 1
    assert pair[:] == [6, 6]


def test_a_structure_gets_a_property_for_each_field():
    point = sharedctypes.synchronized(sharedctypes.RawValue(Point, 1, 2.0))
    point.x += 4
    assert (point.x, point.y) == (5, 2.0)
    same = sharedctypes.copy(point.get_obj())
    same.x = 9
    assert point.x == 5


def test_blocks_do_not_overlap_and_memory_goes_back():
    h = heap.Heap()
    blocks = [h.malloc(size) for size in (1, 100, 5000, 70_000, 16) for _ in range(3)]
    places = sorted((id(arena), start, stop) for arena, start, stop in blocks)
    for (arena, _, stop), (other, start, _) in zip(places, places[1:], strict=False):
        assert arena != other or stop <= start
    for block in blocks:
        h.free(block)
    assert not h._lengths and not h._arenas and h._n_mallocs == h._n_frees


def test_arenas_are_used_again():
    h = heap.Heap()
    keep = h.malloc(16)
    first = h.malloc(64)
    h.free(first)
    assert h.malloc(64) == first
    assert keep[0] is first[0]


@pytest.mark.parametrize("make", ["Value", "Array", "RawValue", "RawArray"])
@pytest.mark.parametrize("typecode", ["x", "ii", "", 5, None, int, []])
def test_a_type_that_is_none_is_told_the_codes_there_are(make, typecode):
    with pytest.raises(TypeError, match="bad typecode.* c, u, b, B, .*f, d"):
        getattr(procession, make)(typecode, 1)
