"""Pools of processes: what the documentation of `multiprocessing` promises, and what it does not."""

import functools
import os
import signal
import sys
import threading
import time
import types

import procession
import pytest
from procession.pool import MaybeEncodingError, PoolTerminated, RemoteTraceback, WorkerDied
from tasks.limits import wait_for_file
from tasks.outcomes import outcome

LIMIT_S = 60


def square(x):
    return x * x


def add(a, b=0):
    return a + b


def identity(x):
    return x


def raise_value_error(x):
    raise ValueError(f"no {x}")


def negated(x):
    return -x


def inverse(x):
    return 1 / x


def kill_at_three(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def exit_at_three(x):
    if x == 3:
        os._exit(7)
    return x


def sys_exit(code):
    sys.exit(code)


def interrupt(x):
    raise KeyboardInterrupt


def pid(_):
    return os.getpid()


def keep_barrier(barrier):
    global _barrier
    _barrier = barrier


def meet_kept(x):
    """Returns at once, or when all have come."""
    if x:
        _barrier.wait(60)
    return x


def nap(seconds):
    time.sleep(seconds)
    return seconds


def make_lock(x):
    return threading.Lock()


class StubbornError(Exception):
    """Cannot be rebuilt: `__init__` wants more than `args` has."""

    def __init__(self, a, b):
        super().__init__(f"{a}-{b}")


class UnpicklableError(Exception):
    def __init__(self, x):
        super().__init__(x)
        self.lock = threading.Lock()


def raise_stubborn(x):
    raise StubbornError(x, "part")


def raise_unpicklable(x):
    raise UnpicklableError(x)


class BadAtUnpickling:
    def __reduce__(self):
        return _explode, ()


def _explode():
    raise RuntimeError("unpickling explodes")


def give_bad(x):
    return BadAtUnpickling() if x == 3 else x


class KillsAtUnpickling:
    def __reduce__(self):
        return _kill_unless_parent, (os.getpid(),)


def _kill_unless_parent(parent):
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def failing_initializer():
    raise OSError("no license")


def keep(value):
    global kept
    kept = value


def tell_kept(_):
    return kept


def nested(n):
    with procession.Pool(2) as pool:
        return sum(pool.map(square, range(n)))


class TestDocumented:
    def test_apply_returns_what_the_function_returns(self, pool):
        assert pool.apply(square, (5,)) == 25
        assert pool.apply(add, [1], {"b": 2}) == 3
        assert pool.apply(add, kwds={"a": 1}) == 1

    def test_map_keeps_the_order(self, pool):
        for chunksize in (None, 1, 3, 1000):
            assert pool.map(square, range(100), chunksize) == [x * x for x in range(100)]

    def test_map_of_nothing_is_an_empty_list(self, pool):
        assert pool.map(square, []) == []
        assert pool.map_async(square, []).get(LIMIT_S) == []
        assert list(pool.imap(square, [])) == []
        assert list(pool.imap_unordered(square, iter(()))) == []

    def test_starmap_unpacks_tuples_and_other_iterables(self, pool):
        assert pool.starmap(add, [(1, 2), [3, 4]]) == [3, 7]
        assert pool.starmap(add, zip(range(50), range(50), strict=True), chunksize=7) == [2 * x for x in range(50)]

    def test_imap_gives_results_in_order_and_takes_any_iterable(self, pool):
        assert list(pool.imap(square, range(100))) == [x * x for x in range(100)]
        assert list(pool.imap(square, (x for x in range(100)), chunksize=9)) == [x * x for x in range(100)]
        assert sorted(pool.imap_unordered(square, range(1000), chunksize=10)) == [x * x for x in range(1000)]

    def test_values_of_every_kind_come_back_equal(self, pool):
        values = [
            *(None, True, 0, -1, 2**63 - 1, 2**63, -(2**200), 1.5, float("inf"), "", "äöü", "\ud800", b"", b"x" * 5000),
            *((), (1, ("a", None)), (1, [2]), tuple(range(40)), [1, "two", 3.0], {"a": {1}}, range(5)),
            *(frozenset("ab"), 1j, bytearray(b"q")),
        ]
        for chunksize in (None, 1, 4):
            back = pool.map(identity, values, chunksize)
            assert back == values
            assert [type(x) for x in back] == [type(x) for x in values]

    def test_large_values_go_both_ways(self, pool):
        for size in (2000, 2048, 1 << 16, 1 << 20, 20 << 20):
            data = os.urandom(16) * (size // 16)
            assert pool.apply(identity, (data,)) == data
        assert pool.map(len, [b"x" * (1 << 20)] * 20) == [1 << 20] * 20

    def test_a_large_function_travels_and_works(self, pool):
        data = tuple(range(10_000))
        assert pool.map(functools.partial(add, data), [(1,), (2,)]) == [(*data, 1), (*data, 2)]

    def test_an_async_result_says_when_it_is_ready(self, pool, tmp_path):
        go = tmp_path / "go"
        result = pool.apply_async(wait_for_file, (str(go),))
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        with pytest.raises(procession.TimeoutError):
            result.get(timeout=0.01)
        go.touch()
        result.wait(LIMIT_S)
        assert result.ready() and result.successful() and result.get() is None

    def test_callbacks_run_before_the_result_is_ready(self, pool):
        seen, errors = [], []
        assert pool.apply_async(square, (3,), callback=seen.append).get(LIMIT_S) == 9
        assert seen == [9]
        result = pool.map_async(raise_value_error, [1], callback=seen.append, error_callback=errors.append)
        result.wait(LIMIT_S)
        assert not result.successful() and len(errors) == 1 and seen == [9]

    def test_a_callback_may_use_the_pool(self, pool):
        second = []
        pool.apply_async(square, (3,), callback=lambda x: second.append(pool.apply(square, (x,)))).get(LIMIT_S)
        assert second == [81]

    def test_a_callback_that_raises_loses_nothing(self, pool, monkeypatch):
        seen = []
        monkeypatch.setattr(sys, "unraisablehook", lambda report: seen.append(report.exc_type))
        assert pool.apply_async(square, (3,), callback=lambda x: 1 // 0).get(LIMIT_S) == 9
        assert seen == [ZeroDivisionError]

    def test_results_that_nobody_waits_for_are_computed(self, pool):
        seen = []
        done = threading.Event()

        def count(value):
            seen.append(value)
            if len(seen) == 1000:
                done.set()

        for x in range(1000):
            pool.apply_async(identity, (x,), callback=count)
        assert done.wait(LIMIT_S)
        assert sorted(seen) == list(range(1000))

    def test_the_initializer_runs_in_each_worker(self, context):
        with context.Pool(2, keep, ("value",)) as pool:
            assert set(pool.map(tell_kept, range(20))) == {"value"}

    def test_workers_are_replaced_after_maxtasksperchild(self, context):
        with context.Pool(1, maxtasksperchild=2) as pool:
            pids = pool.map(pid, range(10), chunksize=1)
            assert len(set(pids)) == 5
            assert all(pids.count(p) == 2 for p in pids)
            assert len(set(pool.map(pid, range(8)))) >= 2
        pool.join()

    def test_join_after_close_waits_for_the_tasks(self, context):
        pool = context.Pool(2)
        result = pool.map_async(nap, [0.05] * 4)
        pool.close()
        pool.join()
        assert result.ready() and result.get() == [0.05] * 4
        assert pool._pool == []

    def test_lazy_maps_that_nobody_reads_are_computed_before_join_returns(self, context, tmp_path):
        pool = context.Pool(2)
        pool.imap_unordered(functools.partial(touch, str(tmp_path)), range(300))
        partly = pool.imap(functools.partial(touch, str(tmp_path)), range(300, 20_000, 67))
        next(partly)
        pool.close()
        pool.join()
        assert len(list(tmp_path.iterdir())) == 300 + len(range(300, 20_000, 67))

    def test_an_endless_iterator_is_taken_only_as_far_as_there_is_room(self, pool):
        taken = []

        def endless():
            while True:
                taken.append(None)
                yield len(taken)

        results = pool.imap_unordered(square, endless(), buffersize=10)
        assert next(results) >= 1
        assert len(taken) <= 20
        results = pool.imap(square, endless())
        assert next(results) >= 1
        assert len(taken) < 20_000

    def test_large_results_of_small_items_are_not_made_long_before_they_are_read(self, pool):
        sizes = []

        def endless():
            while True:
                sizes.append(1_000_000)
                yield 1_000_000

        for method in (pool.imap, pool.imap_unordered):
            sizes.clear()
            results = method(bytes, endless())
            assert len(next(results)) == 1_000_000
            assert len(sizes) <= 200

    def test_an_iterable_that_raises_gives_its_exception_in_its_place(self, pool):
        def items():
            yield 1
            yield 2
            raise LookupError("third")

        with pytest.raises(LookupError, match="third"):
            pool.map(square, items())
        for method in (pool.imap, pool.imap_unordered):
            results = method(square, items())
            got = []
            with pytest.raises(LookupError, match="third"):
                for value in results:
                    got.append(value)
            assert set(got) <= {1, 4}
        assert pool.map(square, [1, 2]) == [1, 4]

    def test_exceptions_come_with_the_traceback_of_the_worker(self, pool):
        with pytest.raises(ValueError, match="no 1") as caught:
            pool.apply(raise_value_error, (1,))
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        assert "in raise_value_error" in str(caught.value.__cause__)

    def test_an_imap_goes_on_after_an_item_that_failed(self, pool):
        results = pool.imap(functools.partial(divide, 12), [1, 0, 3])
        assert next(results) == 12
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert next(results) == 4
        with pytest.raises(StopIteration):
            next(results)

    def test_imap_next_takes_a_timeout(self, pool, tmp_path):
        go = tmp_path / "go"
        results = pool.imap(wait_for_file, [str(go)])
        with pytest.raises(procession.TimeoutError):
            results.next(timeout=0.01)
        go.touch()
        assert results.next(timeout=LIMIT_S) is None

    def test_lambdas_and_closures_work(self, pool):
        offset = 7
        assert pool.map(lambda x: x + offset, range(3)) == [7, 8, 9]

    def test_many_threads_share_a_pool(self, pool):
        answers = {}

        def use(n):
            answers[n] = [pool.apply(square, (n,)) for _ in range(20)] + pool.map(square, range(n))

        threads = [threading.Thread(target=use, args=(n,)) for n in range(16)]
        [thread.start() for thread in threads]
        [thread.join(LIMIT_S) for thread in threads]
        assert answers == {n: [n * n] * 20 + [x * x for x in range(n)] for n in range(16)}

    def test_a_forgotten_pool_ends_its_workers(self, context):
        pool = context.Pool(2)
        workers = list(pool._pool)
        with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
            del pool
            import gc

            gc.collect()
        for worker in workers:
            worker.join(LIMIT_S)
            assert worker.exitcode is not None


def divide(a, b):
    return a / b


def touch(folder, x):
    open(os.path.join(folder, str(x)), "w").close()


class TestFaults:
    def test_a_killed_worker_fails_its_task_alone(self, pool):
        results = [pool.apply_async(kill_at_three, (x,)) for x in range(8)]
        got = [outcome(result) for result in results]
        assert isinstance(got[3], WorkerDied) and "SIGKILL" in str(got[3])
        assert got[:3] + got[4:] == [0, 1, 2, 4, 5, 6, 7]
        assert pool.map(square, range(50)) == [x * x for x in range(50)]

    @pytest.mark.parametrize("chunksize", [None, 1, 4, 8])
    def test_a_map_with_a_killed_worker_runs_each_other_item_once(self, pool, chunksize, tmp_path):
        run = functools.partial(mark_and_kill, str(tmp_path))
        with pytest.raises(WorkerDied):
            pool.map(run, range(40), chunksize)
        marks = sorted(int(path.name.split("-")[0]) for path in tmp_path.iterdir())
        assert marks == list(range(40))

    def test_a_worker_that_exits_is_named_with_its_code(self, pool):
        with pytest.raises(WorkerDied, match="exit code 7"):
            pool.map(exit_at_three, range(8), chunksize=1)

    def test_killed_idle_workers_are_replaced(self, pool):
        pool.map(square, range(4))
        for worker in list(pool._pool):
            os.kill(worker.pid, signal.SIGKILL)
            worker.join(LIMIT_S)
        assert pool.map(square, range(4), chunksize=1) == [0, 1, 4, 9]

    def test_exceptions_that_cannot_travel_are_described(self, pool):
        for function, name in ((raise_stubborn, "StubbornError"), (raise_unpicklable, "UnpicklableError")):
            got = [outcome(r) for r in [pool.apply_async(function, (3,)), pool.apply_async(square, (2,))]]
            assert isinstance(got[0], MaybeEncodingError) and name in str(got[0])
            assert function.__name__ in str(got[0].__cause__)
            assert got[1] == 4

    def test_base_exceptions_reach_the_caller_and_the_worker_goes_on(self, pool):
        with pytest.raises(SystemExit) as caught:
            pool.apply(sys_exit, (5,))
        assert caught.value.code == 5
        with pytest.raises(KeyboardInterrupt):
            pool.apply(interrupt, (1,))
        assert len(set(pool.map(pid, range(20)))) <= 2

    def test_a_result_that_cannot_be_pickled_fails_its_task_alone(self, pool):
        results = [pool.apply_async(make_lock, (1,)), pool.apply_async(square, (2,))]
        with pytest.raises(MaybeEncodingError, match="lock"):
            results[0].get(LIMIT_S)
        assert results[1].get(LIMIT_S) == 4

    def test_a_result_that_raises_when_unpickled_fails_its_task_alone(self, pool):
        got = []
        results = pool.imap(give_bad, range(8))
        for _ in range(8):
            try:
                got.append(next(results))
            except RuntimeError as error:
                got.append(str(error))
        assert got == [0, 1, 2, "unpickling explodes", 4, 5, 6, 7]

    @pytest.mark.parametrize("chunksize", [1, 4])
    def test_an_argument_that_raises_when_unpickled_fails_its_task_alone(self, pool, chunksize):
        items = [0, 1, 2, BadAtUnpickling(), 4, 5, 6, 7]
        results = pool.imap(identity, items, chunksize)
        got = []
        for _ in items:
            try:
                got.append(next(results))
            except RuntimeError as error:
                got.append(str(error))
        assert got == [0, 1, 2, "unpickling explodes", 4, 5, 6, 7]

    @pytest.mark.parametrize("chunksize", [1, 4])
    def test_an_argument_that_kills_when_unpickled_fails_its_task_alone(self, pool, chunksize):
        items = [0, 1, 2, KillsAtUnpickling(), 4, 5, 6, 7]
        results = pool.imap(identity, items, chunksize)
        got = []
        for _ in items:
            try:
                got.append(next(results))
            except WorkerDied:
                got.append("died")
        assert got == [0, 1, 2, "died", 4, 5, 6, 7]

    def test_a_failing_initializer_reaches_every_waiter(self, context):
        with context.Pool(2, failing_initializer) as pool:
            results = [pool.apply_async(square, (x,)) for x in range(4)]
            for result in results:
                with pytest.raises(OSError, match="no license") as caught:
                    result.get(LIMIT_S)
                assert "failing_initializer" in str(caught.value.__cause__)
            with pytest.raises(OSError, match="no license"):
                pool.map(square, range(3))

    def test_a_nested_pool_works(self, pool):
        assert pool.map(nested, [3, 4]) == [5, 14]

    def test_terminate_fails_what_is_not_done(self, context):
        pool = context.Pool(1)
        results = [pool.apply_async(nap, (60,)) for _ in range(3)]
        pool.terminate()
        pool.join()
        for result in results:
            with pytest.raises(PoolTerminated):
                result.get(LIMIT_S)

    def test_a_stopped_worker_delays_its_own_task_alone(self, pool):
        pids = set()
        while len(pids) < 2:
            pids.update(pool.map(pid, range(20), chunksize=1))
        stopped = pids.pop()
        os.kill(stopped, signal.SIGSTOP)
        try:
            assert pool.map_async(square, range(20), chunksize=1).get(LIMIT_S) == [x * x for x in range(20)]
        finally:
            os.kill(stopped, signal.SIGCONT)

    def test_ten_deaths_each_awaited_leave_a_working_pool(self, pool):
        for _ in range(10):
            with pytest.raises(WorkerDied):
                pool.apply(exit_at_three, (3,))
        assert pool.map(square, range(10)) == [x * x for x in range(10)]


def mark_and_kill(folder, x):
    open(os.path.join(folder, f"{x}-{os.getpid()}-{time.monotonic_ns()}"), "w").close()
    if x == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


class TestBadInput:
    @pytest.mark.parametrize(
        ("processes", "error"), [(0, ValueError), (-1, ValueError), ("4", TypeError), (1.5, TypeError)]
    )
    def test_a_number_of_processes_that_makes_no_sense(self, context, processes, error):
        with pytest.raises(error, match="number of processes"):
            context.Pool(processes)

    def test_arguments_of_the_pool_that_make_no_sense(self, context):
        with pytest.raises(TypeError, match="callable"):
            context.Pool(1, initializer=5)
        for value in (0, -1, "1", 1.0):
            with pytest.raises(ValueError, match="maxtasksperchild"):
                context.Pool(1, maxtasksperchild=value)

    def test_functions_and_iterables_that_make_no_sense(self, pool):
        with pytest.raises(TypeError, match="not callable"):
            pool.map(None, [1])
        with pytest.raises(TypeError, match="not iterable"):
            pool.map(square, 5)
        with pytest.raises(TypeError, match="not iterable"):
            pool.imap(square, 5)
        for chunksize in (0, -1):
            for method in (pool.map, pool.imap, pool.imap_unordered, pool.starmap):
                with pytest.raises(ValueError, match="chunksize"):
                    method(square, [1], chunksize)
        with pytest.raises(TypeError, match="chunksize"):
            pool.map(square, [1], "3")
        assert pool.map(square, [2]) == [4]

    def test_what_cannot_be_pickled_says_where(self, pool):
        with pytest.raises(TypeError, match="lock"):
            pool.apply(identity, (threading.Lock(),))
        with pytest.raises(TypeError, match="lock"):
            pool.map(functools.partial(add, threading.Lock()), [1])
        with pytest.raises(TypeError, match=r"deep.*lock"):
            pool.apply(identity, ({"deep": [threading.Lock()]},))
        results = pool.imap(identity, [1, threading.Lock(), 3])
        assert next(results) == 1
        with pytest.raises(TypeError, match="lock"):
            next(results)
        assert next(results) == 3

    def test_a_closed_pool_takes_no_tasks(self, context):
        pool = context.Pool(1)
        with pytest.raises(ValueError, match="still running"):
            pool.join()
        pool.close()
        for call in (pool.apply, pool.apply_async):
            with pytest.raises(ValueError, match="not running"):
                call(square, (1,))
        for call in (pool.map, pool.map_async, pool.imap, pool.imap_unordered, pool.starmap):
            with pytest.raises(ValueError, match="not running"):
                call(square, [1])
        pool.join()
        with pytest.raises(ValueError, match="not running"), pool:
            pass

    def test_a_pool_used_in_a_forked_child_says_so(self, pool):
        pool.map(square, range(4))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                pool.map(square, [1])
            except RuntimeError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as answer:
            assert "make a Pool in the process that uses it" in answer.read()
        os.waitpid(child, 0)
        assert pool.map(square, range(4)) == [0, 1, 4, 9]

    def test_a_pool_cannot_be_pickled(self, pool):
        with pytest.raises(NotImplementedError, match="pool objects cannot be passed"):
            pool.apply(identity, (pool,))


def test_tasks_that_wait_for_each_other_run_at_once_though_they_were_quick_before(context):
    barrier = context.Barrier(12)
    with context.Pool(12, initializer=keep_barrier, initargs=(barrier,)) as pool:
        for _ in range(2):
            assert pool.map(meet_kept, [0] * 5000) == [0] * 5000
            assert pool.map(meet_kept, [1] * 12) == [1] * 12
            waiting = [pool.apply_async(meet_kept, (1,)) for _ in range(12)]
            assert [result.get(60) for result in waiting] == [1] * 12
    pool.join()


def test_an_ended_pool_can_be_joined_again(context):
    for end in ("close", "terminate"):
        pool = context.Pool(1)
        pool.map(abs, [-1])
        getattr(pool, end)()
        pool.join()
        pool.join()


def test_large_arrays_of_numbers_travel_both_ways(context):
    numpy = pytest.importorskip("numpy")
    square = numpy.arange(40_000, dtype="f8").reshape(200, 200)
    with context.Pool(1) as pool:
        for array in (square, square.T, square[::2, ::3], square.astype("i2"), square.astype("c16")):
            there_and_back = pool.apply(numpy.negative, (array,))
            assert there_and_back.dtype == array.dtype and (there_and_back == -array).all()


@pytest.mark.parametrize(
    "numbers",
    [
        range(0),
        range(1),
        range(3, 10_000, 7),
        range(10_000, -10_000, -3),
        range(2**63 - 50, 2**63 - 1),
        range(2**63 - 50, 2**63 + 50),
        range(-(2**63), -(2**63) + 50),
        range(0, 2**70, 2**65),
    ],
    ids=str,
)
def test_a_map_over_a_range_gets_the_numbers_of_the_range(pool, numbers):
    assert pool.map(negated, numbers) == [-number for number in numbers]
    assert pool.map(negated, numbers, chunksize=7) == [-number for number in numbers]
    assert pool.map_async(negated, numbers).get(60) == [-number for number in numbers]


def test_an_item_of_a_range_that_fails_or_kills_fails_alone(pool):
    with pytest.raises(ZeroDivisionError):
        pool.map(inverse, range(500, -1, -1))
    with pytest.raises(TypeError, match="iterable"):
        pool.starmap(negated, range(10))
    with pytest.raises(WorkerDied, match=r"\(3\)"):
        pool.map(kill_at_three, range(1, 1000))
    assert pool.map(negated, range(5)) == [0, -1, -2, -3, -4]


def test_termination_ends_results_with_callbacks_too(context):
    failures = []
    pool = context.Pool(2)
    results = [pool.apply_async(nap, (600,), error_callback=failures.append) for _ in range(20)]
    pool.terminate()
    pool.join()
    for result in results:
        with pytest.raises(PoolTerminated):
            result.get(LIMIT_S)
    assert len(failures) == 20


def test_a_pool_that_another_thread_releases_as_the_program_ends_ends(monkeypatch):
    pool = procession.Pool(1)
    monkeypatch.setattr("procession.util.is_exiting", lambda: True)
    ear, core = pool._crew._ear, pool._crew.core

    def close():
        ear.close()
        core.release()  # as that thread does meanwhile

    monkeypatch.setattr(pool._crew, "_ear", types.SimpleNamespace(hear=ear.hear, close=close))
    pool.terminate()
    pool.join()
