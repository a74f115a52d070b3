"""A large argument of calls that wait travels once for them, and never an old one."""

import ctypes
import gc
import itertools
import os
import pickle
import signal
import sys
import threading
from concurrent.futures import wait as wait_for

import numpy
import procession
import pytest
from tasks.waiting import until

COUNT = 1 << 18
CALLS = 60


def first_and_sum(array, number):
    return number, int(array[0]), int(array.sum())


def least_and_most(array, number):
    return number, int(array.min()), int(array.max())


def spoil(array, number):
    was = int(array[0]), int(array.sum())
    array[:] = number + 100
    return number, *was


def by_item(array, value):
    array[:] = value


def by_view(array, value):
    array[1:].reshape(-1)[:] = value
    array[:1].fill(value)


def by_memoryview(array, value):
    memoryview(array).cast("B")[:] = numpy.full(COUNT, value, array.dtype).tobytes()


def by_ctypes(array, value):
    source = numpy.full(COUNT, value, array.dtype)
    ctypes.memmove(array.ctypes.data, source.ctypes.data, source.nbytes)


def by_thread(array, value):
    thread = threading.Thread(target=by_item, args=(array, value))
    thread.start()
    thread.join()


@pytest.mark.parametrize("write", [by_item, by_view, by_memoryview, by_ctypes, by_thread])
def test_no_call_gets_what_was_there_before_it_was_made(pool, write):
    array = numpy.zeros(COUNT)
    asked = []
    for number in range(CALLS):
        write(array, number)
        asked.append(pool.apply_async(least_and_most, (array, number)))
    for number, answer in enumerate(asked):
        came, least, most = answer.get(60)
        # As in the standard library: what was there from the call on, maybe in the midst of a later write.
        assert came == number and number <= least <= most < CALLS
    write(array, -1)
    assert pool.apply(least_and_most, (array, 7)) == (7, -1, -1)


def test_an_unchanged_argument_of_many_calls_arrives_whole_in_each(pool):
    array = numpy.arange(COUNT, dtype="i8")
    right = int(array.sum())
    asked = [pool.apply_async(first_and_sum, (array, number)) for number in range(CALLS)]
    asked += [pool.apply_async(first_and_sum, (), {"array": array, "number": number}) for number in range(CALLS)]
    assert [answer.get(60) for answer in asked] == [(number, 0, right) for number in range(CALLS)] * 2


def test_what_a_task_writes_no_other_sees(pool):
    array = numpy.full(COUNT, 5)
    asked = [pool.apply_async(spoil, (array, number)) for number in range(CALLS)]
    assert [answer.get(60) for answer in asked] == [(number, 5, 5 * COUNT) for number in range(CALLS)]
    assert array[0] == 5


def length_and_ends(data, number):
    return number, type(data).__name__, len(data), data[:3], data[-3:]


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_travel_so_too(pool, kind):
    data = kind(b"abc" * 100_000)
    asked = [pool.apply_async(length_and_ends, (data, number)) for number in range(CALLS)]
    wanted = [(number, kind.__name__, 300_000, b"abc", b"abc") for number in range(CALLS)]
    assert [answer.get(60) for answer in asked] == wanted


class Scratch:
    """Fills the same memory for each pickle."""

    memory = numpy.zeros(COUNT)

    def __init__(self, value):
        self.value = value

    def __reduce_ex__(self, protocol):
        Scratch.memory[:] = self.value
        return value_of, (pickle.PickleBuffer(Scratch.memory),)


def value_of(buffer):
    return float(numpy.frombuffer(buffer)[-1])


def same(value):
    return value


def test_memory_that_a_reducer_fills_again_is_taken_again(pool):
    asked = [pool.apply_async(same, (Scratch(number),)) for number in range(CALLS)]
    assert [answer.get(60) for answer in asked] == list(range(CALLS))


def test_memory_that_a_reducer_fills_again_is_taken_again_though_it_was_an_argument_itself(pool):
    asked = []
    for number in range(CALLS):
        pool.apply_async(first_and_sum, (Scratch.memory, number))
        asked.append(pool.apply_async(same, (Scratch(number),)))
    assert [answer.get(60) for answer in asked] == list(range(CALLS))


def test_arrays_that_follow_each_other_in_one_place_are_told_apart(pool):
    asked = []
    for number in range(CALLS):
        asked.append(pool.apply_async(first_and_sum, (numpy.full(COUNT, number), number)))
        if number % 7 == 0:
            asked[-1].get(60)
    assert [answer.get(60) for answer in asked] == [(number, number, number * COUNT) for number in range(CALLS)]


def test_nothing_is_held_when_all_calls_have_ended(pool):
    array = numpy.zeros(COUNT)
    before = sys.getrefcount(array)
    asked = [pool.apply_async(first_and_sum, (array, number)) for number in range(CALLS)]
    assert [answer.get(60)[0] for answer in asked] == list(range(CALLS))
    del asked
    assert pool.apply(abs, (-1,)) == 1
    until(lambda: sys.getrefcount(array) == before)


def test_nothing_is_held_of_a_pool_that_is_closed_or_after_an_iterator_that_nobody_wants(context):
    array = numpy.zeros(COUNT)
    before = sys.getrefcount(array)
    with context.Pool(2) as pool:
        for closes in (False, True):
            asked = [pool.apply_async(first_and_sum, (array, number)) for number in range(CALLS)]
            # What is taken now would do for this call, too, which goes out without a look at what was taken.
            last = pool.imap(abs, itertools.count()) if not closes else pool.apply_async(abs, (-1,))
            if closes:
                pool.close()
            assert [answer.get(60)[0] for answer in asked] == list(range(CALLS))
            if closes:
                assert last.get(60) == 1
            del asked, last
            gc.collect()
            until(lambda: sys.getrefcount(array) == before)
    pool.join()


def test_submitted_calls_travel_so_too(context):
    from procession.futures import ProcessPoolExecutor

    array = numpy.zeros(COUNT)
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        asked = []
        for number in range(CALLS):
            array[:] = number
            asked.append(executor.submit(least_and_most, array, number))
        wait_for(asked, 60)
        for number, answer in enumerate(asked):
            came, least, most = answer.result(60)
            assert came == number and number <= least <= most < CALLS


def test_a_worker_that_is_killed_takes_no_other_call_with_it(context):
    array = numpy.ones(COUNT)
    with context.Pool(2) as pool:
        asked = [pool.apply_async(die_at, (array, number)) for number in range(CALLS)]
        came = []
        for answer in asked:
            try:
                came.append(answer.get(60))
            except procession.WorkerDied:
                came.append(None)
        assert came == [None if number == 20 else COUNT for number in range(CALLS)]
    pool.join()


def die_at(array, number):
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(array.sum())
