"""Values, arrays, segments and managers of eight threads."""

import subprocess
import sys
import sysconfig

import procession
from procession.shared_memory import ShareableList, SharedMemory

from threads.crowd import THREADS, eight

EACH = 400


def test_no_increment_of_a_value_is_lost(context):
    value, array = context.Value("l", 0), context.Array("l", 4)

    def count(number):
        for turn in range(EACH):
            with value.get_lock():
                value.value += 1
            with array:
                array[turn % 4] += 1

    eight(count)
    assert value.value == THREADS * EACH and sum(array) == THREADS * EACH


def test_each_has_its_own_part_of_an_array(context):
    array = context.RawArray("l", THREADS)

    def count(number):
        for turn in range(EACH):
            array[number] += 1
            assert array[number] == turn + 1

    eight(count)
    assert list(array) == [EACH] * THREADS


def test_memory_that_comes_and_goes_belongs_to_one(context):
    def live(number):
        kept = []
        for turn in range(EACH // 4):
            array = context.RawArray("B", bytes([number + 1]) * (turn * 37 % 3000 + 1))
            kept.append(array)
            if len(kept) > 5:
                old = kept.pop(0)
                assert set(old) == {number + 1}

    eight(live)


def test_segments_are_made_and_removed_by_all():
    def live(number):
        for turn in range(EACH // 20):
            segment = SharedMemory(create=True, size=4096)
            segment.buf[:4] = bytes([number, turn % 256, 1, 2])
            other = SharedMemory(segment.name)
            assert bytes(other.buf[:4]) == bytes([number, turn % 256, 1, 2])
            other.close()
            segment.close()
            segment.unlink()

    eight(live)


def test_one_segment_is_opened_by_all():
    segment = SharedMemory(create=True, size=THREADS)

    def live(number):
        for turn in range(EACH // 20):
            other = SharedMemory(segment.name)
            other.buf[number] = turn % 256
            assert other.buf[number] == turn % 256
            other.close()

    eight(live)
    segment.close()
    segment.unlink()


def test_one_list_of_a_segment_has_a_place_for_each():
    shared = ShareableList([0] * THREADS)

    def count(number):
        for turn in range(EACH):
            shared[number] = turn
            assert shared[number] == turn

    eight(count)
    shared.shm.close()
    shared.shm.unlink()


def test_one_manager_serves_all(context):
    with context.Manager() as manager:
        use_by_all(manager)


def use_by_all(manager):
    names, numbers, queue, lock = manager.dict(), manager.list(), manager.Queue(), manager.Lock()
    counter = manager.Value("i", 0)

    def live(number):
        for turn in range(15):
            names[number, turn] = turn
            numbers.append((number, turn))
            queue.put((number, turn))
            with lock:
                counter.value += 1
            own = manager.list([turn])
            assert own[0] == turn and names[number, turn] == turn

    eight(live)
    everything = [(number, turn) for number in range(THREADS) for turn in range(15)]
    assert sorted(names.keys()) == sorted(numbers) == everything and counter.value == len(everything)
    assert sorted(queue.get() for _ in everything) == everything


def test_importing_leaves_an_interpreter_without_its_lock():
    program = (
        "import sys; import procession, procession.pool, procession.managers, procession.futures; "
        "print(getattr(sys, '_is_gil_enabled', lambda: True)())"
    )
    told = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(not sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert procession.cpu_count() > 0
