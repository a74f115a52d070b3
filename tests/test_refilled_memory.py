"""Memory that is filled anew for each object that is pickled arrives with what it had for that object.

As in the standard library, where what a pool sends is pickled by one thread, one after the other, and copied at once.
"""

import pickle
import sys
from concurrent.futures import wait

import numpy
import procession
import pytest
from procession.futures import ProcessPoolExecutor

COUNT = 1 << 16
ITEMS = 12

memory = numpy.zeros(COUNT)


class Scratch:
    """Fills the same memory for each pickle."""

    def __init__(self, value):
        self.value = value

    def __reduce_ex__(self, protocol):
        memory[:] = self.value
        return ends_of, (pickle.PickleBuffer(memory),)


class ViewedScratch(Scratch):
    """The same, by a new view of it each time."""

    def __reduce_ex__(self, protocol):
        memory[:] = self.value
        return ends_of, (pickle.PickleBuffer(memory[:]),)


class ArrayScratch(Scratch):
    """The same, by a new array that numpy pickles."""

    def __reduce_ex__(self, protocol):
        memory[:] = self.value
        return ends_of, (memory.view(),)


class IteratedScratch(Scratch):
    """The same, in an iterator that runs when the reducer has returned."""

    def __reduce_ex__(self, protocol):
        return list, (), None, self.views()

    def views(self):
        for part in (0, 0.25, 0.5):
            memory[:] = self.value + part
            yield memory[:]


class Filler:
    """Fills the memory, and has nothing large itself."""

    def __init__(self, value):
        self.value = value

    def __getstate__(self):
        memory[:] = self.value
        return self.__dict__


class Holder:
    """An instance that has nothing but attributes."""

    def __init__(self, array, number):
        self.array, self.number = array, number


def ends_of(buffer):
    array = numpy.frombuffer(buffer)
    return float(array[0]), float(array[-1])


def same(value):
    return value


def second(first, value):
    return value


def ends(_, array):
    return ends_of(array)


def ends_of_three(arrays):
    return [ends_of(array) for array in arrays]


def number_and_ends(holder):
    return holder.number, *ends_of(holder.array)


def scratches(kind, numbers):
    return [kind(number) for number in numbers]


def both(numbers):
    return [(float(number), float(number)) for number in numbers]


def refilled(array):
    for number in range(ITEMS):
        array[:] = number
        yield array


KINDS = pytest.mark.parametrize("kind", [Scratch, ViewedScratch, ArrayScratch])


@KINDS
def test_each_item_has_its_own(pool, kind):
    items, wanted = [kind(number) for number in range(ITEMS)], both(range(ITEMS))
    for method in (pool.map, pool.imap, pool.imap_unordered):
        for chunksize in (1, 3):
            assert sorted(method(same, items, chunksize=chunksize)) == wanted
    assert pool.map(same, items) == wanted
    for chunksize in (1, 3, None):
        assert pool.starmap(second, [(memory, item) for item in items], chunksize) == wanted
    asked = [pool.apply_async(same, (item,)) for item in items]
    assert [answer.get(60) for answer in asked] == wanted


@KINDS
def test_each_of_several_in_one_object_has_its_own(pool, kind):
    assert pool.apply(same, (scratches(kind, range(ITEMS)),)) == both(range(ITEMS))
    assert pool.apply(scratches, (kind, range(ITEMS))) == both(range(ITEMS))


def test_what_an_iterator_of_a_reducer_fills_arrives_as_it_was(pool):
    wanted = [ends_of_three(pickle.loads(pickle.dumps(IteratedScratch(number)))) for number in range(ITEMS)]
    items = [IteratedScratch(number) for number in range(ITEMS)]
    for chunksize in (1, 3):
        assert pool.map(ends_of_three, items, chunksize=chunksize) == wanted
    asked = [pool.apply_async(ends_of_three, (item,)) for item in items]
    assert [answer.get(60) for answer in asked] == wanted


def test_an_array_that_other_items_fill_arrives_as_each_leaves_it(pool):
    items = [(0, memory), (0, memory)] + [(Filler(number), memory) for number in range(ITEMS)] + [(0, memory)]
    wanted = both([-1, -1, *range(ITEMS), ITEMS - 1])
    memory[:] = -1
    assert pool.starmap(ends, items, chunksize=1) == wanted
    memory[:] = -1
    asked = [pool.apply_async(ends, item) for item in items]
    assert [answer.get(60) for answer in asked] == wanted
    # Within a chunk an object is pickled once.
    memory[:] = -1
    chunk = [(Filler(0), memory), (Filler(1), memory.copy()), (0, memory)]
    assert pool.starmap(ends, chunk, 3) == both([0, -1, 0])


def test_an_array_that_a_generator_fills_again_arrives_as_it_was_given(pool):
    for method in (pool.imap, pool.imap_unordered):
        assert sorted(method(ends_of, refilled(memory), chunksize=1)) == both(range(ITEMS))
        # A chunk is pickled when it is full.
        wanted = both(number // 3 * 3 + 2 for number in range(ITEMS))
        assert sorted(method(ends_of, refilled(memory), chunksize=3)) == wanted
    assert pool.map(ends_of, refilled(memory), chunksize=1) == both([ITEMS - 1] * ITEMS)


def put_back(queue, pipe, given):
    queue.put((given, scratches(ViewedScratch, range(3))))
    pipe.send((pipe.recv(), scratches(ViewedScratch, range(3))))


def test_messages_and_arguments_of_processes_have_their_own(context):
    queue, (here, there) = context.Queue(), context.Pipe()
    here.send(scratches(ViewedScratch, range(3)))
    child = context.Process(target=put_back, args=(queue, there, scratches(Scratch, range(3))))
    child.start()
    given, put = queue.get(timeout=60)
    sent, answered = here.recv()
    child.join()
    # A forked child has the objects themselves.
    given = pickle.loads(pickle.dumps(given))
    assert given == put == sent == answered == both(range(3))


def test_tasks_of_an_executor_have_their_own():
    with ProcessPoolExecutor(2) as executor:
        assert list(executor.map(same, [Scratch(number) for number in range(ITEMS)])) == both(range(ITEMS))
        asked = [executor.submit(ends, Filler(number), memory) for number in range(ITEMS)]
        wait(asked)
        assert [answer.result() for answer in asked] == both(range(ITEMS))


def test_an_array_that_instances_have_in_common_arrives_with_each(pool):
    array = numpy.arange(COUNT, dtype="f8")
    items = [Holder(array, number) for number in range(ITEMS)]
    wanted = [(number, 0.0, COUNT - 1.0) for number in range(ITEMS)]
    assert pool.map(number_and_ends, items, chunksize=1) == wanted


class Alone:
    """Notes whether another is pickled meanwhile."""

    busy = 0
    met = False

    def __getstate__(self):
        Alone.met |= Alone.busy > 0
        Alone.busy += 1
        for _ in range(1000):
            pass
        Alone.busy -= 1
        return {}


def test_items_are_pickled_one_after_the_other():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with procession.Pool(2) as pool:
            pool.map_async(same, [Alone() for _ in range(300)], chunksize=1)
            pool.map(same, [Alone() for _ in range(300)], chunksize=1)
        pool.join()
    finally:
        sys.setswitchinterval(before)
    assert not Alone.met
