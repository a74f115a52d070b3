"""What is used in place stays as it is: after the pool, its workers, forks and deaths; and its memory comes back."""

import functools
import os
import signal
import sys

import numpy as np
import pytest
from procession.pool import WorkerDied

MIB = 1 << 20
kept = {}


def make(byte, size=MIB):
    return np.full(size, byte, dtype=np.uint8)


def make_and_die_later(byte):
    array = make(byte)
    if byte == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return array


def keep(name, array):
    kept[name] = array
    return os.getpid()


def sum_of_kept(name):
    return int(kept[name].sum()) if name in kept else None


def forget(_):
    kept.clear()


def first_and_change(array, add):
    before = int(array[0])
    array += add
    return before


def total(array, _=None):
    return int(array.sum())


def sum_in_forked_child(array):
    """The sum that a child forked now sees after this process has dropped the array and others were here."""
    reader, writer = os.pipe()
    go_reader, go_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go_reader, 1)
        os.write(writer, str(int(array.sum())).encode())
        os._exit(0)
    return pid, reader, writer, go_reader, go_writer


def finish_forked_child(pid, reader, writer, go_reader, go_writer):
    os.write(go_writer, b"x")
    answer = os.read(reader, 100)
    os.waitpid(pid, 0)
    for fd in (reader, writer, go_reader, go_writer):
        os.close(fd)
    return int(answer)


def fork_in_task(array):
    """What a grandchild sees of an argument, though the task changed it after the fork."""
    child = sum_in_forked_child(array)
    array[:] = 0
    return finish_forked_child(*child)


def segment_bytes():
    """The memory of all segments that this process has open."""
    sizes = {}
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        try:
            if "memfd:procession" in os.readlink(path):
                status = os.stat(path)
                sizes[status.st_ino] = status.st_blocks * 512
        except OSError:
            continue
    return sum(sizes.values())


def test_results_outlive_their_pool_and_its_workers(context):
    with context.Pool(2) as pool:
        results = pool.map(make, range(1, 9))
        for process in pool._pool:
            os.kill(process.pid, signal.SIGKILL)
        assert pool.map(make, [50])[0][0] == 50
        results += pool.map(make, range(9, 12))
    pool.join()
    assert [total(array) for array in results] == [n * MIB for n in range(1, 12)]
    results[0][:] = 3
    assert total(results[0]) == 3 * MIB


def test_a_killed_worker_takes_no_result_with_it_that_it_had_sent(pool):
    results = [pool.apply_async(make_and_die_later, (n,)) for n in range(10, 16)]
    for byte, result in zip(range(10, 16), results, strict=True):
        if byte == 13:
            with pytest.raises(WorkerDied):
                result.get(60)
        else:
            assert total(result.get(60)) == byte * MIB


def test_a_forked_child_keeps_the_results_that_its_parent_held(pool):
    array = pool.apply(make, (5,))
    child = sum_in_forked_child(array)
    array[:] = 1
    del array
    # The blocks are used again by these.
    for result in pool.map(make, [9] * 8, 1):
        assert total(result) == 9 * MIB
    assert finish_forked_child(*child) == 5 * MIB
    assert total(pool.apply(make, (6,))) == 6 * MIB


def test_a_task_may_fork_while_it_holds_its_argument(pool):
    assert pool.map(fork_in_task, [make(n) for n in range(4)], 1) == [n * MIB for n in range(4)]
    same = make(7)
    assert pool.map(fork_in_task, [same] * 6, 1) == [7 * MIB] * 6


def test_an_argument_that_a_task_keeps_is_not_overwritten(pool):
    pids = {pool.apply(keep, (name, make(name))) for name in range(1, 7)}
    assert pids
    for _ in range(3):
        pool.map(total, [make(99) for _ in range(8)], 1)
    sums = [set(pool.map(sum_of_kept, [name] * 16, 1)) for name in range(1, 7)]
    for name, seen in zip(range(1, 7), sums, strict=True):
        assert seen <= {name * MIB, None}
    pool.map(forget, range(16), 1)


def test_each_task_may_change_what_it_has_in_common_with_others(pool):
    same = make(1)
    assert pool.starmap(first_and_change, [(same, n % 3) for n in range(30)], 1) == [1] * 30
    assert pool.map(functools.partial(total, same), range(10), 1) == [MIB] * 10
    assert total(same) == MIB


def test_what_a_map_has_in_common_takes_memory_once(pool):
    same = make(1, 8 * MIB)
    before = segment_bytes()
    assert pool.starmap(total, [(same, n) for n in range(40)], 1) == [8 * MIB] * 40
    assert pool.map(functools.partial(total, same), range(40), 1) == [8 * MIB] * 40
    assert segment_bytes() - before <= 34 * MIB


def test_views_of_one_array_are_told_apart(pool):
    base = np.arange(4 * MIB, dtype=np.uint8)
    views = [base[n * MIB : (n + 1) * MIB + n] for n in range(3)] * 5
    for array, back in zip(views, pool.map(np.copy, views, 1), strict=True):
        np.testing.assert_array_equal(array, back)


def test_an_array_that_changes_between_two_maps_is_sent_again(pool):
    array = make(1)
    for byte in range(1, 5):
        array[:] = byte
        assert pool.map(total, [array] * 4, 1) == [byte * MIB] * 4


def test_the_memory_of_blocks_comes_back(pool):
    pool.map(total, [make(1)] * 4, 1)
    base = segment_bytes()
    for _ in range(5):
        results = pool.map(make, [7] * 40, 1)
        assert segment_bytes() - base >= 40 * MIB
        del results
        pool.map(total, [make(n) for n in range(30)], 1)
    # A worker has at most half of the results to use again, and what is free beyond a limit goes back.
    pool.map(make, [1] * 4, 1)
    assert segment_bytes() - base < 5 * 40 * MIB


def test_the_memory_of_a_dead_worker_comes_back_but_for_what_is_held(context):
    with context.Pool(1) as pool:
        held = pool.map(make, [3] * 2, 1)
        pool.map(make, [4] * 60, 1)
        os.kill(pool._pool[0].pid, signal.SIGKILL)
        assert total(pool.apply(make, (5,))) == 5 * MIB
        assert total(held[0]) == total(held[1]) == 3 * MIB
        assert segment_bytes() < 20 * MIB
    pool.join()


def test_blocks_that_a_killed_worker_held_are_used_again(context):
    with context.Pool(1) as pool:
        for round in range(6):
            pool.apply(keep, (round, make(round, 8 * MIB)))
            os.kill(pool._pool[0].pid, signal.SIGKILL)
            assert pool.apply(sum_of_kept, (round,)) is None
        assert segment_bytes() < 40 * MIB
    pool.join()


def test_nothing_is_left_of_a_pool_whose_results_were_dropped(context):
    before = segment_bytes()
    with context.Pool(2) as pool:
        results = pool.map(make, range(8))
    pool.join()
    assert total(results[1]) == MIB
    del results
    assert segment_bytes() == before


def test_an_argument_that_cannot_be_rebuilt_gives_its_blocks_back(pool):
    pool.map(total, [make(1)] * 2, 1)
    base = segment_bytes()
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            pool.apply(total, (Bomb(make(2, 4 * MIB)),))
        with pytest.raises(TypeError):
            pool.apply(total, ([make(2, 4 * MIB), sys.stdout.buffer],))
    assert segment_bytes() - base <= 16 * MIB


class Bomb:
    """Carries an array and cannot be rebuilt."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        return explode, (self.array,)


def explode(_):
    raise ZeroDivisionError
