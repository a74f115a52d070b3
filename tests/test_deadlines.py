"""Deadlines of tasks, cancellation, further tries."""

import functools
import os
import signal
import time
from concurrent.futures import CancelledError

import procession
import pytest
from procession.pool import TaskTimeout, WorkerDied
from tasks.outcomes import outcome

LIMIT_S = 60


def square(x):
    return x * x


def endless(x):
    while True:
        x += 1


def endless_at_three(x):
    return endless(x) if x == 3 else x


def sleeps(x):
    time.sleep(60)


def stubborn(x):
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass


def deaf(x):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    time.sleep(60)


def fails_until(folder, times, x):
    attempt = len(os.listdir(folder))
    open(os.path.join(folder, str(time.monotonic_ns())), "w").close()
    if attempt < times:
        raise ConnectionError(f"attempt {attempt}")
    return x


def dies_until(folder, times, x):
    attempt = len(os.listdir(folder))
    open(os.path.join(folder, str(time.monotonic_ns())), "w").close()
    if attempt < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@pytest.mark.parametrize("function", [endless, sleeps, stubborn, deaf])
def test_a_task_that_runs_too_long_fails_alone(pool, function):
    results = [pool.apply_async(square, (x,)) for x in range(4)]
    late = pool.apply_async(function, (0,), timeout=0.3)
    results += [pool.apply_async(square, (x,)) for x in range(4)]
    error = outcome(late)
    assert isinstance(error, TaskTimeout) and isinstance(error, procession.TimeoutError)
    assert "0.3 s" in str(error)
    assert [outcome(result) for result in results] == [0, 1, 4, 9] * 2
    assert pool.map(square, range(10)) == [x * x for x in range(10)]


def test_the_deadline_counts_for_each_item_from_its_own_start(context):
    # Long beside what an item takes on a machine that pauses now and then. Maps of both kinds run at once.
    with context.Pool(4) as pool:
        for results in [pool.imap(endless_at_three, range(8), chunksize, timeout=1.5) for chunksize in (1, 4)]:
            got = []
            for _ in range(8):
                try:
                    got.append(next(results))
                except TaskTimeout:
                    got.append("late")
            assert got == [0, 1, 2, "late", 4, 5, 6, 7]
        # Those of a chunk, and those of a worker, take longer together; each of them takes a small part of it.
        naps = [pool.map_async(time.sleep, [0.05] * 80, chunksize, timeout=1.5) for chunksize in (10, 40)]
        assert [outcome(result) for result in naps] == [[None] * 80] * 2


def test_a_running_task_can_be_cancelled(pool):
    for function in (endless, stubborn):
        running = pool.apply_async(function, (0,))
        assert pool.apply(square, (3,)) == 9
        assert running.cancel()
        with pytest.raises(CancelledError):
            running.get(LIMIT_S)
        assert not running.cancel()
    assert pool.map(square, range(10)) == [x * x for x in range(10)]


def test_a_waiting_task_can_be_cancelled_and_a_done_one_cannot(pool):
    done = pool.apply_async(square, (2,))
    assert done.get(LIMIT_S) == 4 and not done.cancel()
    blockers = [pool.apply_async(sleeps, (0,)) for _ in range(2)]
    waiting = pool.map_async(square, range(100_000))
    assert waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.get(LIMIT_S)
    assert all(blocker.cancel() for blocker in blockers)
    assert pool.apply(square, (3,)) == 9


def test_exceptions_named_in_retry_on_are_tried_again(pool, tmp_path):
    function = functools.partial(fails_until, str(tmp_path), 2)
    assert pool.apply(function, (5,), retries=3, retry_on=(OSError,)) == 5
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ConnectionError):
        pool.apply(functools.partial(fails_until, str(tmp_path), 99), (5,), retries=1, retry_on=ConnectionError)
    with pytest.raises(ConnectionError):
        pool.map(functools.partial(fails_until, str(tmp_path), 99), [5], retries=1, retry_on=KeyError)


def test_a_task_whose_worker_died_is_tried_again_but_not_after_two_deaths(pool, tmp_path):
    once, often = tmp_path / "once", tmp_path / "often"
    once.mkdir()
    often.mkdir()
    assert pool.map(functools.partial(dies_until, str(once), 1), [5], retries=5) == [5]
    with pytest.raises(WorkerDied):
        pool.map(functools.partial(dies_until, str(often), 99), [5], retries=5)
    assert len(list(often.iterdir())) == 2


def test_wishes_that_make_no_sense(pool):
    for timeout in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="timeout"):
            pool.apply(square, (1,), timeout=timeout)
    with pytest.raises(TypeError, match="timeout"):
        pool.map(square, [1], timeout="1 s")
    with pytest.raises(TypeError, match="retries"):
        pool.map(square, [1], retries=1.5)
    with pytest.raises(ValueError, match="retries"):
        pool.map(square, [1], retries=-1)
    with pytest.raises(TypeError, match="retry_on"):
        pool.map(square, [1], retries=1, retry_on="OSError")


# As libraries with compiled parts are: what was loaded half cannot be loaded again.
LOADS_ONCE = """
import sys, time
if hasattr(sys, "began_to_load"):
    raise ImportError("cannot be loaded twice in one process")
sys.began_to_load = True
until = time.monotonic() + 0.2
while time.monotonic() < until:
    time.sleep(0.001)
"""


def imports(name, goes_on):
    __import__(name)
    while goes_on:
        time.sleep(0.001)
    return name


def test_a_deadline_lets_an_import_come_to_its_end(context, tmp_path, monkeypatch):
    (tmp_path / "loads_once.py").write_text(LOADS_ONCE)
    monkeypatch.syspath_prepend(tmp_path)
    with context.Pool(1) as pool:
        late = pool.apply_async(imports, ("loads_once", True), timeout=0.05)
        assert type(outcome(late)) is TaskTimeout
        assert pool.apply(imports, ("loads_once", False)) == "loads_once"
