"""Jobs that are handed in while the pool comes to its end: each has one outcome, and nobody waits for ever."""

import os
import signal
import subprocess
import sys
import threading
import time

import procession
import procession.futures
import pytest
from procession.pool import PoolTerminated, ThreadPool

LIMIT_S = 60


def square(x):
    return x * x


def nap(seconds):
    time.sleep(seconds)


def wait_for(path):
    until = time.monotonic() + LIMIT_S
    while not os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.001)


def fail_once_there_is(path):
    wait_for(path)
    raise LookupError("the initializer failed on purpose")


class Pickled:
    """A function that says when it is being pickled, and waits there until it may go on."""

    def __init__(self):
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, *args):
        return args

    def __reduce__(self):
        self.begun.set()
        assert self.go.wait(LIMIT_S)
        return Pickled, ()


METHODS = {
    "apply": lambda pool, function: pool.apply(function, (1,)),
    "apply_async": lambda pool, function: pool.apply_async(function, (1,)).get(LIMIT_S),
    "map": lambda pool, function: pool.map(function, range(5)),
    "map_async": lambda pool, function: pool.map_async(function, range(5)).get(LIMIT_S),
    "starmap": lambda pool, function: pool.starmap(function, [(1, 2)] * 5),
    "starmap_async": lambda pool, function: pool.starmap_async(function, [(1, 2)] * 5).get(LIMIT_S),
    "imap": lambda pool, function: pool.imap(function, range(5)).next(LIMIT_S),
    "imap_unordered": lambda pool, function: pool.imap_unordered(function, range(5)).next(LIMIT_S),
}


def outcome_of(call, *args):
    try:
        return call(*args)
    except Exception as error:
        return type(error)


def in_threads(calls):
    """Start a thread for each call; return a function that waits for their outcomes."""
    outcomes = ["waits for ever"] * len(calls)

    def run(place, call, args):
        outcomes[place] = outcome_of(call, *args)

    threads = [threading.Thread(target=run, args=(n, *call), daemon=True) for n, call in enumerate(calls)]
    for thread in threads:
        thread.start()

    def join():
        for thread in threads:
            thread.join(LIMIT_S)
        return outcomes

    return join


def hand_in_by_all_methods(pool, end):
    """Have each method begin to pickle its function, call `end`, and return what the methods answer then."""
    functions = [Pickled() for _ in METHODS]
    join = in_threads([(method, (pool, f)) for method, f in zip(METHODS.values(), functions, strict=True)])
    for function in functions:
        assert function.begun.wait(LIMIT_S)
    end()
    for function in functions:
        function.go.set()
    return dict(zip(METHODS, join(), strict=True))


def test_jobs_that_come_while_the_pool_is_terminated_fail(context):
    pool = context.Pool(1)
    assert hand_in_by_all_methods(pool, pool.terminate) == dict.fromkeys(METHODS, PoolTerminated)
    pool.join()


def test_jobs_that_come_while_the_pool_is_closed_are_refused(context):
    pool = context.Pool(1)
    assert hand_in_by_all_methods(pool, pool.close) == dict.fromkeys(METHODS, ValueError)
    pool.join()


def test_jobs_that_come_while_the_initializer_fails_get_its_error(context, tmp_path):
    path = tmp_path / "go"
    with context.Pool(1, fail_once_there_is, (path,)) as pool:

        def end():
            path.touch()
            assert outcome_of(pool.apply, square, (1,)) is LookupError

        assert hand_in_by_all_methods(pool, end) == dict.fromkeys(METHODS, LookupError)


def test_jobs_that_come_while_a_handle_is_terminated_fail(context):
    pool = procession.shared_pool(1, context=context)
    assert hand_in_by_all_methods(pool, pool.terminate) == dict.fromkeys(METHODS, PoolTerminated)
    pool.join()
    with procession.shared_pool(1, context=context) as other:
        assert other.map(square, [2]) == [4]
    procession.end_shared_pools()


def test_a_handle_that_is_terminated_ends_the_calls_of_all_threads(context):
    pool = procession.shared_pool(2, context=context)
    join = in_threads([(pool.map, (nap, [60])), (pool.apply, (nap, (60,)))])
    until = time.monotonic() + LIMIT_S
    while sum(worker.task is not None for worker in pool.stats().workers) < 2 and time.monotonic() < until:
        time.sleep(0.001)
    pool.terminate()
    assert join() == [PoolTerminated] * 2
    with procession.shared_pool(2, context=context) as other:
        assert other.map(square, [2]) == [4]
    procession.end_shared_pools()


def test_who_waits_for_a_lazy_map_whose_input_waits_hears_of_the_end(context):
    reading, go = threading.Event(), threading.Event()

    def source():
        yield 3
        reading.set()
        assert go.wait(LIMIT_S)
        yield 4

    for method in ("imap", "imap_unordered"):
        reading.clear()
        go.clear()
        pool = context.Pool(1)
        join = in_threads([(lambda pool=pool, method=method: list(getattr(pool, method)(square, source())), ())])
        assert reading.wait(LIMIT_S)
        pool.terminate()
        go.set()
        assert join() == [PoolTerminated]
        pool.join()


def outcomes_of_lazy_map(results):
    found = []
    while True:
        try:
            found.append(results.next(LIMIT_S))
        except StopIteration:
            return found
        except Exception as error:
            found.append(type(error))


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_each_lazy_map_of_a_pool_that_is_broken_has_one_outcome(context, method, tmp_path):
    path = tmp_path / "go"
    with context.Pool(2, fail_once_there_is, (path,)) as pool:
        call = getattr(pool, method)
        early = [call(square, range(5)) for _ in range(3)]
        path.touch()
        assert outcome_of(pool.apply, square, (1,)) is LookupError
        late = [call(square, range(5)) for _ in range(3)]
        assert [outcomes_of_lazy_map(results) for results in [*early, *late]] == [[LookupError]] * 6


def test_outcomes_that_came_before_the_end_stay_in_front_of_it(context):
    pool = context.Pool(1)
    results = pool.imap(square, iter([1, 2, 3]))
    assert results.next(LIMIT_S) == 1
    until = time.monotonic() + LIMIT_S
    while pool.stats().done < 3 and time.monotonic() < until:
        time.sleep(0.001)
    endless = pool.imap(nap, iter([60]))
    pool.terminate()
    assert outcomes_of_lazy_map(results) == [4, 9]
    assert outcomes_of_lazy_map(endless) == [PoolTerminated]
    pool.join()


def test_a_callback_is_called_once_however_late_its_job_was_handed_in(context):
    pool = context.Pool(1)
    heard = []
    function = Pickled()
    join = in_threads([(lambda: pool.apply_async(function, error_callback=heard.append).get(LIMIT_S), ())])
    assert function.begun.wait(LIMIT_S)
    pool.terminate()
    function.go.set()
    assert join() == [PoolTerminated]
    assert [type(error) for error in heard] == [PoolTerminated]


def test_a_closed_pool_whose_last_call_was_interrupted_ends(context):
    pool = context.Pool(1)
    began = threading.Event()

    def items():
        began.set()
        yield 60

    def close():
        assert began.wait(LIMIT_S)
        until = time.monotonic() + LIMIT_S
        while not any(worker.task for worker in pool.stats().workers) and time.monotonic() < until:
            time.sleep(0.001)
        pool.close()
        os.kill(os.getpid(), signal.SIGINT)

    join = in_threads([(close, ())])
    with pytest.raises(KeyboardInterrupt):
        pool.map(nap, items())
    assert join() == [None]
    for worker in pool._pool:
        worker.kill()
    pool.join()


AT_EXIT = """
import sys, threading, time
import procession

def nap(seconds):
    time.sleep(seconds)

def use(pool, method):
    if method == "again":
        while True:
            pool.map(abs, [1])
    elif method == "map":
        pool.map(nap, [60])
    elif method == "apply_async":
        pool.apply_async(nap, (60,)).get()
    else:
        next(pool.imap(nap, [60]))

if __name__ == "__main__":
    pool = procession.get_context(sys.argv[1]).Pool(4)
    for method in ("again", "map", "apply_async", "imap"):
        threading.Thread(target=use, args=(pool, method), daemon=True).start()
    while sum(worker.task is not None and worker.task.function == "nap" for worker in pool.stats().workers) < 3:
        time.sleep(0.001)
"""


def test_daemon_threads_that_use_a_pool_at_the_programs_end_say_nothing(context, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(AT_EXIT)
    command = [sys.executable, program, context.get_start_method()]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


class Waits:
    """An iterable that says when it is about to be read, and waits there until it may go on."""

    def __init__(self):
        self.begun = threading.Event()
        self.go = threading.Event()

    def __iter__(self):
        self.begun.set()
        assert self.go.wait(LIMIT_S)
        return iter([(1, 2)] * 5)


THREAD_METHODS = {
    "map": lambda pool, items: pool.map(square, items),
    "map_async": lambda pool, items: pool.map_async(square, items).get(LIMIT_S),
    "starmap": lambda pool, items: pool.starmap(pow, items),
    "imap": lambda pool, items: pool.imap(square, items).next(LIMIT_S),
    "imap_unordered": lambda pool, items: pool.imap_unordered(square, items).next(LIMIT_S),
}


@pytest.mark.parametrize(("end", "error"), [("close", ValueError), ("terminate", PoolTerminated)])
def test_jobs_that_come_while_a_pool_of_threads_ends_have_an_outcome(end, error):
    pool = ThreadPool(2)
    inputs = [Waits() for _ in THREAD_METHODS]
    join = in_threads([(method, (pool, items)) for method, items in zip(THREAD_METHODS.values(), inputs, strict=True)])
    for items in inputs:
        assert items.begun.wait(LIMIT_S)
    getattr(pool, end)()
    for items in inputs:
        items.go.set()
    assert join() == [error] * len(inputs)
    pool.join()


def test_a_fork_is_refused_what_the_threads_of_its_parent_compute():
    go = threading.Event()
    with ThreadPool(1) as pool:
        done = pool.apply_async(square, (3,))
        assert done.get(LIMIT_S) == 9
        result = pool.apply_async(go.wait, (LIMIT_S,))
        results = pool.imap(square, [1])
        child = procession.get_context("fork").Process(target=use_results, args=(pool, done, result, results))
        child.start()
        child.join(LIMIT_S)
        go.set()
        assert child.exitcode == 0


def use_results(pool, done, result, results):
    assert done.get() == 9
    for call in (result.get, result.wait, lambda: next(results)):
        with pytest.raises(RuntimeError, match="does not come here"):
            call()
    with pytest.raises(ValueError, match="not running"):
        pool.apply(square, (1,))
    pool.terminate()
    pool.join()


def test_a_fork_is_refused_the_pool_and_the_executor_of_its_parent(context):
    with context.Pool(1) as pool, procession.futures.ProcessPoolExecutor(1, context) as executor:
        assert executor.submit(square, 3).result(LIMIT_S) == 9
        result = pool.apply_async(nap, (60,))
        child = procession.get_context("fork").Process(target=use_pools, args=(pool, executor, result))
        child.start()
        child.join(LIMIT_S)
        assert child.exitcode == 0


def use_pools(pool, executor, result):
    calls = [result.get, result.cancel, result.ready, lambda: executor.submit(square, 1)]
    calls += [lambda method=method: method(pool, square) for name, method in METHODS.items() if "star" not in name]
    for call in calls:
        with pytest.raises(RuntimeError, match="belongs to"):
            call()
    executor.kill_workers()
    executor.shutdown()
    pool.close()
    pool.terminate()
    pool.join()
