"""ThreadPool: the interface of a pool on threads."""

import asyncio
import gc
import itertools
import pickle
import threading
import time
import weakref

import pytest
from procession._exceptions import PoolTerminated, TaskTimeout
from procession._pool.jobs import LOOK_AHEAD_ITEMS
from procession.context import TimeoutError
from procession.pool import Pool, ThreadPool

LIMIT_S = 60


class Guilty(BaseException):
    pass


def fail_at_three(number):
    if number == 3:
        raise Guilty(number)
    return number * 10


def stop_at_three(number):
    if number == 3:
        raise StopIteration
    return number


@pytest.fixture
def pool():
    with ThreadPool(3) as pool:
        yield pool
    pool.join()


def test_every_method_gives_the_results_in_order(pool):
    assert pool.apply(divmod, (7, 2)) == (3, 1)
    assert pool.apply(int, ("ff",), {"base": 16}) == 255
    assert pool.map(abs, range(-100, 0)) == list(range(100, 0, -1))
    assert pool.map(abs, (n for n in (-1, -2)), chunksize=1) == [1, 2]
    assert pool.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert list(pool.imap(abs, iter([-3, -2, -1]), 2)) == [3, 2, 1]
    assert sorted(pool.imap_unordered(abs, [-3, -2, -1])) == [1, 2, 3]
    assert pool.map_async(abs, [-1]).get(LIMIT_S) == [1]
    assert pool.starmap_async(pow, [(2, 2)]).get(LIMIT_S) == [4]
    assert pool.map(abs, []) == list(pool.imap(abs, [])) == []


def test_callbacks_run_before_the_result_is_ready(pool):
    seen = []
    result = pool.apply_async(abs, (-1,), callback=seen.append)
    result.wait(LIMIT_S)
    assert seen == [1] and result.successful()
    result = pool.map_async(int, ["1", "x"], error_callback=seen.append)
    result.wait(LIMIT_S)
    assert isinstance(seen[1], ValueError) and not result.successful()


def test_a_callback_that_raises_loses_no_result(pool, monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    assert pool.apply_async(abs, (-1,), callback=lambda value: 1 / 0).get(LIMIT_S) == 1
    assert reported[0].exc_type is ZeroDivisionError


def test_a_base_exception_reaches_the_caller_and_the_workers_live(pool):
    for _ in range(10):
        with pytest.raises(SystemExit):
            pool.apply(exit, (3,))
        with pytest.raises(Guilty):
            pool.map(fail_at_three, range(5))
    assert pool.map(abs, range(10)) == list(range(10))


def test_a_lazy_map_goes_on_behind_a_failed_item(pool):
    results = pool.imap(fail_at_three, range(6), chunksize=4)
    assert [next(results) for _ in range(3)] == [0, 10, 20]
    with pytest.raises(Guilty):
        next(results)
    assert list(results) == [40, 50]


def test_stop_iteration_in_a_task_is_an_error_and_shortens_nothing(pool):
    with pytest.raises(RuntimeError, match="StopIteration"):
        pool.map(stop_at_three, range(5))
    results = pool.imap(stop_at_three, range(5), chunksize=5)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(results)
    assert list(results) == [4]


def test_an_iterable_that_raises_ends_the_lazy_map_with_its_error(pool):
    results = pool.imap(abs, (1 // (2 - n) for n in range(5)))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_waiting_has_a_limit(pool):
    gate = threading.Event()
    result, results = pool.apply_async(gate.wait), pool.imap(lambda _: gate.wait(), [1])
    with pytest.raises(ValueError):
        result.successful()
    with pytest.raises(TimeoutError):
        result.get(timeout=0.01)
    with pytest.raises(TimeoutError):
        results.next(timeout=0.01)
    gate.set()
    assert result.get(LIMIT_S) and results.next(timeout=LIMIT_S)
    with pytest.raises(StopIteration):
        results.next(timeout=LIMIT_S)


def test_an_endless_iterable_is_read_only_a_little_ahead(pool):
    read = []
    results = pool.imap_unordered(abs, (read.append(n) or n for n in itertools.count()))
    for _ in range(3 * LOOK_AHEAD_ITEMS):
        next(results)
    assert len(read) <= 4 * LOOK_AHEAD_ITEMS + 3


def test_closing_works_off_a_lazy_map_that_nobody_reads():
    done = []
    pool = ThreadPool(2)
    pool.imap(done.append, iter(range(2 * LOOK_AHEAD_ITEMS)))
    pool.close()
    pool.join()
    assert len(done) == 2 * LOOK_AHEAD_ITEMS


def test_terminate_gives_every_waiter_an_outcome():
    pool, gate, started = ThreadPool(1), threading.Event(), threading.Event()
    running = pool.apply_async(lambda: started.set() or gate.wait())
    waiting, lazy = pool.map_async(abs, range(10)), pool.imap(abs, itertools.count())
    assert started.wait(LIMIT_S)
    pool.terminate()
    for wait in (running.get, waiting.get, lazy.next):
        with pytest.raises(PoolTerminated):
            wait(LIMIT_S)
    gate.set()
    pool.join()


def test_a_failing_initializer_reaches_every_waiter():
    pool = ThreadPool(2, int, ("x",))
    for _ in range(3):
        with pytest.raises(ValueError, match="invalid literal"):
            pool.apply(abs, (1,))
    pool.terminate()
    pool.join()


def test_bad_input_is_refused_at_the_call(pool):
    for count, error in ((0, ValueError), (-1, ValueError), ("4", TypeError)):
        with pytest.raises(error):
            ThreadPool(count)
    with pytest.raises(TypeError):
        ThreadPool(1, initializer=3)
    with pytest.raises(TypeError):
        pool.map(None, [1])
    with pytest.raises(TypeError):
        pool.map(abs, 5)
    for lazy_or_not in (pool.map, pool.imap, pool.imap_unordered, pool.starmap):
        with pytest.raises(ValueError):
            lazy_or_not(abs, [1], chunksize=0)
    with pytest.raises(ValueError):
        pool.join()
    with pytest.raises(NotImplementedError):
        pickle.dumps(pool)


def test_a_closed_pool_takes_nothing():
    pool = ThreadPool(1)
    pool.close()
    with pytest.raises(ValueError, match="Pool not running"):
        pool.apply(abs, (1,))
    with pytest.raises(ValueError, match="Pool not running"), pool:
        pass
    pool.join()


def test_results_can_be_awaited(pool):
    async def program():
        assert await pool.apply_async(abs, (-1,)) == 1
        assert await asyncio.gather(*(pool.apply_async(abs, (n,)) for n in (-1, -2))) == [1, 2]
        assert [number async for number in pool.imap(abs, iter(range(-500, 0)))] == list(range(500, 0, -1))
        with pytest.raises(ValueError):
            await pool.apply_async(int, ("x",))

    asyncio.run(asyncio.wait_for(program(), LIMIT_S))


def test_a_thread_pool_is_a_pool():
    import procession.pool

    assert issubclass(procession.pool.ThreadPool, procession.pool.Pool)
    with procession.pool.ThreadPool(1) as pool:
        assert isinstance(pool, procession.pool.Pool) and len(pool._pool) == 1


def test_a_cancelled_call_does_not_start():
    from concurrent.futures import CancelledError

    began, go_on, calls = threading.Event(), threading.Event(), []

    def hold():
        began.set()
        go_on.wait(LIMIT_S)
        calls.append("held")

    with ThreadPool(1) as pool:
        running = pool.apply_async(hold)
        assert began.wait(LIMIT_S)
        waiting = pool.apply_async(calls.append, ("waiting",))
        several = pool.map_async(calls.append, ["a", "b"], chunksize=1)
        assert waiting.cancel() and several.cancel() and running.cancel()
        assert not waiting.cancel()
        for result in (running, waiting, several):
            with pytest.raises(CancelledError):
                result.get(LIMIT_S)
        go_on.set()
        assert pool.apply(abs, (-1,)) == 1
        pool.close()
        pool.join()
    assert calls == ["held"]


@pytest.mark.parametrize("buffersize", [1, 3])
def test_a_buffersize_bounds_what_is_read_ahead(pool, buffersize):
    read = []

    def numbers():
        for number in range(50):
            read.append(number)
            yield number

    results = pool.imap(abs, numbers(), buffersize=buffersize)
    for expected in range(50):
        assert next(results) == expected
        assert len(read) <= expected + 1 + buffersize
    with pytest.raises(ValueError, match="buffersize must be 1 or more"):
        pool.imap(abs, [1], buffersize=0)


def test_a_task_that_runs_too_long_fails_alone_and_its_place_is_filled():
    go_on = threading.Event()

    def stays_at_three(number):
        if number == 3:
            go_on.wait(LIMIT_S)
        return number

    with ThreadPool(1) as pool:
        later = [
            pool.apply_async(stays_at_three, (number,), timeout=0.5 if number == 3 else LIMIT_S) for number in range(6)
        ]
        for number, result in enumerate(later):
            if number == 3:
                with pytest.raises(TaskTimeout, match="timeout of 0.5 s"):
                    result.get(LIMIT_S)
            else:
                assert result.get(LIMIT_S) == number
        with pytest.raises(TaskTimeout):
            pool.map(stays_at_three, range(6), timeout=0.5)
        got = []
        # Long beside what the others take on a machine that pauses now and then.
        results = pool.imap(stays_at_three, range(6), timeout=1.5)
        for _ in range(6):
            try:
                got.append(results.next(LIMIT_S))
            except TaskTimeout:
                got.append("late")
        assert got == [0, 1, 2, "late", 4, 5] and len(pool._pool) == 1
        pool.close()
        pool.join()
        go_on.set()


def test_exceptions_named_in_retry_on_are_tried_again():
    tries = []

    def fails_twice(number):
        tries.append(number)
        if len(tries) < 3:
            raise ConnectionError
        return number

    with ThreadPool(2) as pool:
        assert pool.apply(fails_twice, (7,), retries=2, retry_on=OSError) == 7
        tries.clear()
        with pytest.raises(ConnectionError):
            pool.starmap(fails_twice, [(7,)], retries=1, retry_on=(OSError, KeyError))
        tries.clear()
        with pytest.raises(ConnectionError):
            list(pool.imap_unordered(fails_twice, [7], retries=2, retry_on=KeyError))


def test_a_map_raises_the_failure_of_the_first_item_that_failed():
    second_failed = threading.Event()

    def fails(number):
        if number == 0:
            second_failed.wait(LIMIT_S)
        else:
            second_failed.set()
        raise LookupError(number)

    with ThreadPool(2) as pool, pytest.raises(LookupError, match="0"):
        pool.map(fails, range(2), 1)


@pytest.mark.parametrize("method", ["apply", "apply_async", "map", "map_async", "starmap", "imap", "imap_unordered"])
@pytest.mark.parametrize("kind", [ThreadPool, Pool])
def test_retry_on_is_checked_where_nothing_is_tried_again(method, kind):
    with kind(1) as pool:
        for wrong in ("oops", [OSError], (OSError, "oops"), int, None):
            with pytest.raises(TypeError, match="retry_on must be an exception class"):
                getattr(pool, method)(abs, [1], retry_on=wrong)
    pool.join()


class Held:
    """What can be told to be gone."""


@pytest.mark.parametrize("method", ["apply", "map", "starmap", "imap", "imap_unordered"])
@pytest.mark.parametrize("options", [{}, {"timeout": LIMIT_S}])
def test_arguments_and_results_are_gone_without_a_collection(pool, method, options):
    there, made = [Held() for _ in range(5)], []

    def make(held):
        result = Held()
        made.append(weakref.ref(result))
        return result

    gc.collect()
    gc.disable()
    try:
        arguments = weakref.WeakSet(there)
        items = [(item,) for item in there] if method == "starmap" else there[:1] if method == "apply" else there
        results = getattr(pool, method)(make, items, **options)
        if method.startswith("imap"):
            results = list(results)
        del items, results, there
        assert pool.map(abs, range(50), 1) == list(range(50))  # until no thread is behind its last task any more
        limit = time.monotonic() + LIMIT_S
        while (arguments or any(ref() for ref in made)) and time.monotonic() < limit:
            time.sleep(0.001)
        assert not arguments and not any(ref() for ref in made)
    finally:
        gc.enable()


@pytest.mark.parametrize("reads", [True, False])
def test_an_iterator_is_let_go_wherever_memory_is_collected(reads):
    # A collection may come in the midst of anything: here where the thread has the lock of the pool.
    with ThreadPool(1) as pool:
        iterator = pool.imap(abs, itertools.count())
        if reads:
            next(iterator)
        held = [iterator]
        del iterator

        def collect():
            with pool._crew._lock:
                held.clear()

        collector = threading.Thread(target=collect, daemon=True)
        collector.start()
        collector.join(LIMIT_S)
        assert not collector.is_alive()
        assert pool.apply(abs, (-3,)) == 3


def test_a_pool_that_is_closed_and_terminated_at_once_lets_all_of_its_threads_go():
    for _ in range(20):
        with Pool(4, crew="threads") as pool:
            pool.apply(abs, (-1,))
            pool.close()
        pool.join()
        assert pool._crew.ended
