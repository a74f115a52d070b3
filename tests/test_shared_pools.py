"""Shared pools: the workers stay, each handle is a pool of its own."""

import os
import signal
import subprocess
import sys
import time

import procession
import pytest
from procession.pool import PoolTerminated

LIMIT_S = 60


def square(x):
    return x * x


def pid(_):
    return os.getpid()


def nap(seconds):
    time.sleep(seconds)
    return seconds


def raise_value_error(x):
    raise ValueError(x)


@pytest.fixture
def shared(context):
    yield lambda processes=2: procession.shared_pool(processes, context=context)
    procession.end_shared_pools()


def workers(pool):
    return {worker.pid for worker in pool._pool}


def test_the_next_caller_finds_the_same_workers(shared):
    with shared() as pool:
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        first = workers(pool)
    with shared() as pool:
        assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
        assert list(pool.imap(square, range(50))) == [x * x for x in range(50)]
        assert workers(pool) == first
    assert workers(shared(1)).isdisjoint(first)


def test_a_handle_that_was_left_takes_no_more_tasks(shared):
    with shared() as pool:
        pass
    with pytest.raises(ValueError, match="not running"):
        pool.map(square, [1])
    with pytest.raises(ValueError, match="not running"), pool:
        pass


def test_a_handle_ends_its_own_tasks_only(shared):
    mine, other = shared(), shared()
    waiting = [other.apply_async(nap, (0.2,)) for _ in range(3)]
    with mine:
        given_up = [mine.apply_async(nap, (600,)) for _ in range(3)]
    for result in given_up:
        with pytest.raises(PoolTerminated):
            result.get(LIMIT_S)
    assert [result.get(LIMIT_S) for result in waiting] == [0.2] * 3


def test_closing_and_joining_waits_for_the_tasks_of_the_handle(shared):
    pool = shared()
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    results = [pool.apply_async(nap, (0.05,)) for _ in range(40)] + [pool.map_async(square, range(10))]
    unread = pool.imap(square, range(1000))
    assert next(unread) == 0
    failed = pool.apply_async(raise_value_error, (3,))
    pool.close()
    pool.join()
    assert all(result.ready() for result in results)
    assert list(unread) == [x * x for x in range(1, 1000)]
    with pytest.raises(ValueError, match="3"):
        failed.get(0)


def test_a_killed_worker_is_replaced_for_the_next_caller(shared):
    with shared() as pool:
        victim = pool.apply(pid, (0,))
        os.kill(victim, signal.SIGKILL)
        for worker in pool._pool:
            if worker.pid == victim:
                worker.join(LIMIT_S)  # it could still begin an item before
        assert sorted(pool.map(square, range(100))) == [x * x for x in range(100)]
    with shared() as pool:
        assert victim not in pool.map(pid, range(20), 1)


def test_new_workers_come_after_the_end_of_all(shared):
    pool = shared()
    running = pool.apply_async(nap, (600,))
    first = workers(pool)
    procession.end_shared_pools()
    with pytest.raises(PoolTerminated):
        running.get(LIMIT_S)
    with pytest.raises(ValueError, match="ended"):
        pool.map(square, [1])
    pool.terminate()
    pool.join()
    with shared() as pool:
        assert pool.map(square, [3]) == [9]
        assert workers(pool).isdisjoint(first)


def test_a_child_has_shared_pools_of_its_own(shared, context):
    with shared() as pool:
        mine = workers(pool)
    reader, writer = context.Pipe(False)
    child = context.Process(target=tell_workers, args=(writer,))
    child.start()
    assert reader.recv().isdisjoint(mine)
    child.join(LIMIT_S)
    assert child.exitcode == 0
    reader.close()
    writer.close()
    with shared() as pool:
        assert workers(pool) == mine


def tell_workers(writer):
    with procession.shared_pool(2) as pool:
        assert pool.map(square, [4]) == [16]
        writer.send(workers(pool))


@pytest.mark.parametrize("processes", [0, -1, 2.5, "two"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(processes):
    with pytest.raises((ValueError, TypeError), match="number of processes"):
        procession.shared_pool(processes)


def test_the_workers_end_with_the_program(tmp_path, context):
    program = tmp_path / "program.py"
    program.write_text(
        "import procession\n"
        "if __name__ == '__main__':\n"
        f"    pool = procession.shared_pool(2, context=procession.get_context({context.get_start_method()!r}))\n"
        "    assert pool.map(abs, [-1]) == [1]\n"
        "    print(*(worker.pid for worker in pool._pool))\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", program], capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert [worker for worker in done.stdout.split() if os.path.exists(f"/proc/{worker}")] == []
