"""`share`: one copy in shared memory, which travels by reference."""

import contextlib
import os
import pickle
import signal

import numpy as np
import procession
import pytest

MIB = 1 << 20


def total(array):
    return int(array.sum())


def describe(array):
    return type(array).__name__, str(array.dtype), array.shape, array.flags.writeable, float(array.sum())


def write_at(array, index):
    array[index] = index


def write_and_die(array, index):
    array[index] = index
    os.kill(os.getpid(), signal.SIGKILL)


def bytes_of(view):
    return type(view).__name__, view.readonly, bytes(view)


def sum_of_parts(parts):
    return float(parts["a"].sum()) + float(parts["more"][0].sum()) + parts["scale"]


def identity(x):
    return x


def place(array):
    """The inode of the memory that an array lies in."""
    found = procession._procession.place_of(memory_of(array))
    return None if found is None else found[2]


def memory_of(array):
    # Dates have no buffer, the integers that they are have one.
    return pickle.PickleBuffer(array.view("i8") if array.dtype.kind == "M" else array)


def answer(queue, array, connection):
    queue.put((total(array), place(array)))
    connection.send(array[:5])
    connection.recv()


def open_files():
    """The descriptors of this process, and what is behind each: the collector may close others meanwhile."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add((number, os.stat(f"/proc/self/fd/{number}").st_ino))
    return found


def writeable(arrays, queue):
    queue.put([array.flags.writeable for array in arrays])


def test_only_what_is_shared_stays_read_only_in_the_arguments_of_a_process(context):
    shared = procession.share(np.ones(5))
    copied = np.ones(5)
    copied.flags.writeable = False
    queue = context.Queue()
    for arrays, expected in (([copied], [True]), ([copied, shared], [True, False])):
        # Forked children have the arrays themselves.
        child = context.Process(target=writeable, args=(arrays, queue))
        child.start()
        assert queue.get(timeout=60) == ([False] * len(arrays) if context.get_start_method() == "fork" else expected)
        child.join()
    queue.close()


def test_a_shared_array_is_equal_and_read_only_and_arrives_by_reference(pool):
    array = np.arange(MIB)
    shared = pool.share(array)
    assert type(shared) is np.ndarray and not shared.flags.writeable
    np.testing.assert_array_equal(shared, array)
    assert set(pool.map(place, [shared] * 4)) == {place(shared)}
    assert pool.apply(place, (array,)) is None
    with pytest.raises(ValueError):
        pool.apply(write_at, (shared, 3))


def test_a_part_of_a_shared_array_goes_by_reference_too(pool):
    shared = procession.share(np.arange(MIB))
    assert pool.apply(place, (shared[1000:2000],)) == place(shared)
    assert pool.apply(total, (shared[1000:2000],)) == sum(range(1000, 2000))
    assert pool.apply(total, (shared[::2],)) == sum(range(0, MIB, 2))


def test_what_a_task_writes_to_a_writable_one_everybody_sees(pool):
    shared = procession.share(np.zeros(100), writable=True)
    pool.starmap(write_at, [(shared, index) for index in range(100)])
    assert list(shared) == list(range(100))
    with pytest.raises(procession.WorkerDied):
        pool.apply(write_and_die, (shared, 0))
    shared[:] = 5
    assert pool.apply(total, (shared,)) == 500


def test_arrays_of_every_layout_are_shared_and_stay_what_they_are(pool):
    base = np.arange(6000, dtype=np.float32).reshape(60, 100)
    for array in (base, base.T, np.asfortranarray(base), base[::3, ::2], base.astype(">i4"), base.astype("M8[s]")):
        shared = pool.share(array)
        np.testing.assert_array_equal(shared, array)
        assert shared.dtype == array.dtype
        assert pool.apply(place, (shared,)) == place(shared) is not None


def test_bytes_and_their_like_become_memoryviews(pool):
    text = b"some text " * 10
    view = memoryview(np.arange(10, dtype=np.int32))
    for obj in (text, bytearray(text), memoryview(text), memoryview(text)[::3], view, b""):
        assert pool.apply(bytes_of, (procession.share(obj),)) == ("memoryview", True, bytes(obj))
    shared = procession.share(bytearray(text), writable=True)
    shared[:4] = b"SOME"
    assert pool.apply(bytes_of, (shared,)) == ("memoryview", False, b"SOME" + text[4:])
    assert procession.share(view).format == "i"


def test_objects_with_arrays_in_them_are_shared_whole(pool):
    parts = {"a": np.ones(MIB), "more": [np.ones((10, 10))], "scale": 2}
    shared = pool.share(parts)
    assert pool.map(sum_of_parts, [shared] * 3) == [MIB + 100 + 2] * 3
    assert pool.map(place, [shared["a"], shared["more"][0]]) == [place(shared["a"])] * 2


def test_processes_queues_and_pipes_pass_references(context):
    shared = procession.share(np.arange(MIB))
    queue = context.Queue()
    ours, theirs = context.Pipe()
    child = context.Process(target=answer, args=(queue, shared, theirs))
    child.start()
    assert queue.get(timeout=60) == (total(shared), place(shared))
    part = ours.recv()
    assert list(part) == [0, 1, 2, 3, 4] and place(part) == place(shared)
    queue.put(shared)
    assert place(queue.get(timeout=60)) == place(shared)
    ours.send(None)
    child.join()


def test_what_comes_back_is_the_same_memory(pool):
    shared = procession.share(np.zeros(1000), writable=True)
    back = pool.apply(identity, (shared,))
    back[0] = 7
    assert shared[0] == 7


def test_nothing_to_share_is_an_error_that_says_so():
    for obj in (5, "text", [1, 2], object()):
        with pytest.raises(TypeError, match="nothing in this"):
            procession.share(obj)
    with pytest.raises((TypeError, AttributeError)):
        procession.share([np.ones(3), lambda: None])


def test_memory_that_is_gone_is_an_error_that_says_what_to_do(context):
    ours, theirs = context.Pipe()
    child = context.Process(target=send_and_end, args=(theirs,))
    child.start()
    child.join()
    with pytest.raises(RuntimeError, match="keep what `share` returned"):
        ours.recv()


def send_and_end(connection):
    connection.send(procession.share(np.ones(MIB)))


def test_shared_memory_is_freed_with_its_last_array():
    before = open_files()
    shared = procession.share([np.ones(MIB), np.ones(5)])
    part = shared[1]
    del shared
    assert len(open_files() - before) == 1
    assert part.sum() == 5
    del part
    assert open_files() <= before
    assert not procession._procession.has_shared()


def test_memoryviews_travel_even_when_they_are_not_shared(pool):
    for view in (memoryview(b"abc"), memoryview(bytearray(MIB)), memoryview(np.ones((4, 5)))[::2]):
        back = pool.apply(identity, (view,))
        assert type(back) is memoryview and back.tobytes() == view.tobytes()
        assert (back.shape, back.format, back.readonly) == (view.shape, view.format, view.readonly)
