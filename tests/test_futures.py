"""ProcessPoolExecutor: the executor interface on procession's pool."""

import asyncio
import concurrent.futures
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from procession.futures import BrokenProcessPool, ProcessPoolExecutor
from procession.pool import MaybeEncodingError
from tasks.ctrl_c import check_ended_by_ctrl_c

LIMIT_S = 60


def square(number):
    return number * number


def add(a, b):
    return a + b


def fail(text):
    raise LookupError(text)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def remember(value):
    global remembered
    remembered = value


def recall():
    return remembered


def own_pid(_=None):
    return os.getpid()


def wait_for(event):
    return event.wait(LIMIT_S)


def give_lock(_=None):
    return threading.Lock()


class OfLock(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


def raise_of_lock():
    raise OfLock("no luck")


def test_futures_have_results_and_errors(context):
    with ProcessPoolExecutor(2, context) as executor:
        futures = [executor.submit(square, number) for number in range(20)]
        assert [future.result(LIMIT_S) for future in futures] == [number * number for number in range(20)]
        failed = executor.submit(fail, "no luck")
        assert isinstance(failed.exception(LIMIT_S), LookupError) and "fail" in str(failed.exception().__cause__)
        done, waiting = concurrent.futures.wait(futures + [failed], LIMIT_S)
        assert len(done) == 21 and not waiting
        assert {future.result() for future in concurrent.futures.as_completed(futures)} == {n * n for n in range(20)}


def test_map_keeps_order_in_chunks_and_ahead_of_the_reader(context):
    with ProcessPoolExecutor(2, context) as executor:
        assert list(executor.map(add, range(10), range(10), chunksize=3)) == list(range(0, 20, 2))
        read = []
        results = executor.map(square, (read.append(n) or n for n in itertools.count()), buffersize=4)
        assert [next(results) for _ in range(10)] == [n * n for n in range(10)] and len(read) <= 15
        results.close()
        with pytest.raises(LookupError):
            list(executor.map(fail, ["a", "b"]))


def test_map_has_a_time_limit(context):
    event = context.Event()
    with ProcessPoolExecutor(1, context, remember, (event,)) as executor:
        results = executor.map(wait_for_remembered, [0], timeout=0.05)
        with pytest.raises(TimeoutError):
            next(results)
        event.set()


def wait_for_remembered(_):
    return remembered.wait(LIMIT_S)


def test_a_dead_worker_fails_its_own_task_only(context):
    with ProcessPoolExecutor(2, context) as executor:
        futures = [executor.submit(square, number) for number in range(10)]
        dead = executor.submit(die)
        futures += [executor.submit(square, number) for number in range(10, 20)]
        with pytest.raises(BrokenProcessPool):
            dead.result(LIMIT_S)
        assert [future.result(LIMIT_S) for future in futures] == [n * n for n in range(20)]
        assert executor.submit(square, 9).result(LIMIT_S) == 81


def test_initializers_and_the_life_of_workers(context):
    with ProcessPoolExecutor(1, context, remember, ("this",), max_tasks_per_child=1) as executor:
        assert executor.submit(recall).result(LIMIT_S) == "this"
        assert len({executor.submit(own_pid).result(LIMIT_S) for _ in range(3)}) == 3


def test_a_shut_down_executor_finishes_and_refuses(context):
    executor = ProcessPoolExecutor(2, context)
    futures = [executor.submit(square, number) for number in range(50)]
    executor.shutdown()
    assert [future.result(0) for future in futures] == [n * n for n in range(50)]
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(square, 1)
    executor.shutdown()


def test_waiting_calls_can_be_cancelled(context):
    event = context.Event()
    executor = ProcessPoolExecutor(1, context, remember, (event,))
    futures = [executor.submit(wait_for_remembered, 0) for _ in range(20)]
    assert futures[-1].cancel() and futures[-1].cancelled()
    executor.shutdown(wait=False, cancel_futures=True)
    event.set()
    concurrent.futures.wait(futures, LIMIT_S)
    assert futures[0].result() and sum(future.cancelled() for future in futures) >= 15
    executor.shutdown()


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_stopped_workers_break_what_was_not_done(context, how):
    event = context.Event()
    executor = ProcessPoolExecutor(2, context, remember, (event,))
    futures = [executor.submit(wait_for_remembered, 0) for _ in range(10)]
    getattr(executor, how)()
    for future in futures:
        with pytest.raises(BrokenProcessPool):
            future.result(LIMIT_S)
    with pytest.raises(RuntimeError):
        executor.submit(square, 1)
    executor.shutdown()


def test_asyncio_runs_calls_in_it(context):
    async def program(executor):
        loop = asyncio.get_running_loop()
        results = await asyncio.gather(*(loop.run_in_executor(executor, square, n) for n in range(5)))
        return results, await asyncio.wrap_future(executor.submit(add, 1, 2))

    with ProcessPoolExecutor(2, context) as executor:
        assert asyncio.run(asyncio.wait_for(program(executor), LIMIT_S)) == ([0, 1, 4, 9, 16], 3)


def test_what_cannot_be_pickled_fails_in_its_future(context):
    with ProcessPoolExecutor(1, context) as executor:
        assert executor.submit(lambda: 5).result(LIMIT_S) == 5
        assert executor.submit(square, threading.Lock()).exception(LIMIT_S) is not None
        assert executor.submit(square, 3).result(LIMIT_S) == 9


@pytest.mark.parametrize("function", [give_lock, raise_of_lock])
def test_what_cannot_be_sent_back_fails_as_what_cannot_be_sent_there(context, function):
    with ProcessPoolExecutor(1, context) as executor:
        with pytest.raises(TypeError, match="cannot pickle '_thread.lock'") as caught:
            executor.submit(function).result(LIMIT_S)
        assert isinstance(caught.value.__cause__, MaybeEncodingError)
        if function is give_lock:
            with pytest.raises(TypeError, match="cannot pickle '_thread.lock'"):
                list(executor.map(function, [1], timeout=LIMIT_S))
        assert executor.submit(square, 3).result(LIMIT_S) == 9


def test_an_initializer_that_fails_breaks_the_executor(context):
    with ProcessPoolExecutor(1, context, fail, ("no luck",)) as executor:
        for call in (lambda: executor.submit(square, 3).result(LIMIT_S), lambda: list(executor.map(square, [3]))):
            with pytest.raises(BrokenProcessPool, match="the initializer failed: LookupError: no luck") as caught:
                call()
            assert isinstance(caught.value.__cause__, LookupError)


def test_a_program_that_forgets_to_shut_down_still_ends(tmp_path):
    (tmp_path / "program.py").write_text(
        textwrap.dedent("""
            from procession.futures import ProcessPoolExecutor
            if __name__ == "__main__":
                executor = ProcessPoolExecutor(2)
                for number in range(20):
                    executor.submit(pow, number, 2).add_done_callback(lambda future: print(future.result()))
        """)
    )
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert sorted(map(int, done.stdout.split())) == [n * n for n in range(20)] and not done.stderr


def test_the_standard_executor_takes_our_contexts(context):
    with concurrent.futures.ProcessPoolExecutor(2, context) as executor:
        assert list(executor.map(square, range(20), chunksize=3)) == [n * n for n in range(20)]
        dead = executor.submit(die)
        with pytest.raises(BrokenProcessPool):
            dead.result(LIMIT_S)


def test_bad_input_is_refused_at_the_call():
    for count, error in ((0, ValueError), (-1, ValueError), ("2", TypeError)):
        with pytest.raises(error):
            ProcessPoolExecutor(count)
    with pytest.raises(TypeError):
        ProcessPoolExecutor(1, initializer=3)
    with pytest.raises(ValueError):
        ProcessPoolExecutor(1, max_tasks_per_child=0)
    executor = ProcessPoolExecutor(1)
    with pytest.raises(ValueError):
        executor.map(square, [1], chunksize=0)
    with pytest.raises(ValueError):
        executor.map(square, [1], buffersize=0)
    executor.shutdown()


INTERRUPTED = """
import time

import procession
from procession.futures import ProcessPoolExecutor

def stay(number):
    if number == 0:
        print("ready", flush=True)
    time.sleep(3600)

if __name__ == "__main__":
    executor = ProcessPoolExecutor(2, procession.get_context(METHOD))
    WAIT
"""


@pytest.mark.parametrize(
    "wait",
    [
        "list(executor.map(stay, range(9)))",
        "executor.submit(stay, 0).result()",
        "executor.submit(stay, 0); executor.shutdown()",
        "with executor: executor.submit(stay, 0).result()",
    ],
)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_ctrl_c_ends_a_program_whose_calls_run(method, wait, tmp_path):
    text = INTERRUPTED.replace("METHOD", repr(method)).replace("WAIT", wait)
    check_ended_by_ctrl_c(tmp_path, text, "ready\n", LIMIT_S)


def test_a_map_with_options_of_maps_takes_items_and_ends_as_any_other():
    taken = []
    with ProcessPoolExecutor(2) as executor:
        results = executor.map(
            pow, (taken.append(n) or n for n in range(100)), [2] * 100, buffersize=2, chunksize=3, retries=1
        )
        assert next(results) == 0 and len(taken) <= 12
        results.close()
        with pytest.raises(TypeError, match="unexpected keyword argument 'on_eror'"):
            executor.map(abs, [1], on_eror="skip")
        with pytest.raises(ValueError, match="leave buffersize=3 out"):
            executor.map(abs, [1], order="longest", cost=abs, buffersize=3)
        with pytest.raises(TimeoutError):
            list(executor.map(time.sleep, [LIMIT_S], timeout=0.05, on_error="return"))
        late = executor.map(abs, range(-9, 0), on_error="skip")
    assert list(late) == list(range(9, 0, -1))
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.map(abs, [1], on_error="skip")
    for end, error in (
        (lambda executor: executor.shutdown(cancel_futures=True), concurrent.futures.CancelledError),
        (lambda executor: executor.kill_workers(), BrokenProcessPool),
    ):
        executor = ProcessPoolExecutor(1)
        results = executor.map(time.sleep, [0, LIMIT_S], on_error="return")
        assert next(results) is None
        end(executor)
        with pytest.raises(error):
            next(results)
        executor.shutdown()
    with ProcessPoolExecutor(1, on_error="skip") as executor:
        assert list(executor.map(int, ["1", "x"])) == [1] and executor.submit(abs, -1).result(LIMIT_S) == 1
