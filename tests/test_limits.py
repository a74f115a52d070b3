"""What workers may use up, how long they live, and how often they are replaced."""

import itertools
import os
import time

import procession
import pytest
from procession._checks import memory
from procession.pool import OverMemory, WorkerDied
from tasks.limits import MB, alone, count_and_die_soon, count_and_exit, die, hoard_at_three, keep, nap, pid, square
from tasks.outcomes import outcome
from tasks.weights import limit_beyond

LIMIT_S = 60


def test_a_task_that_takes_too_much_memory_fails_alone(context):
    limit = limit_beyond(context, 200)
    with context.Pool(2, max_memory=f"{limit // 1_000_000}MB") as pool:
        results = [pool.apply_async(hoard_at_three, (x,)) for x in range(8)]
        outcomes = [outcome(result) for result in results]
        error = outcomes.pop(3)
        assert outcomes == [0, 1, 2, 4, 5, 6, 7]
        assert isinstance(error, OverMemory) and isinstance(error, WorkerDied)
        assert error.limit == limit < error.peak < 2 << 30
        assert "hoard_at_three(3)" in str(error) and f"{limit // 1_000_000} MB" in str(error)
        assert (error.function, error.index) == ("hoard_at_three", 0)
        with pytest.raises(OverMemory, match="item 3 of its job, hoard_at_three"):
            pool.map(hoard_at_three, range(8), chunksize=2)
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
    pool.join()


def test_memory_that_a_task_leaves_behind_is_not_blamed_on_the_next(context):
    with context.Pool(1, max_memory=limit_beyond(context, 300)) as pool:
        pids = pool.map(keep, [60 * MB] * 14, chunksize=1)
    pool.join()
    assert len(set(pids)) > 1


def test_a_worker_is_replaced_after_max_tasks(context):
    with context.Pool(2, max_tasks=3) as pool:
        pids = pool.map(pid, range(24), chunksize=1)
    pool.join()
    assert max(pids.count(pid) for pid in pids) == 3


def test_a_worker_is_replaced_when_it_is_old_and_no_two_of_a_place_work_at_once(context, tmp_path):
    with context.Pool(1, max_age=0.3) as pool:
        path = str(tmp_path / "busy")
        first = time.monotonic()
        pids = set()
        while len(pids) < 3:
            pids.update(pool.map(alone, [path] * 20, chunksize=1))
            assert time.monotonic() < first + LIMIT_S
        pids.update(pool.imap(alone, itertools.repeat(path, 50)))
    pool.join()


def test_an_old_worker_finishes_its_task(context):
    with context.Pool(2, max_age=0.05) as pool:
        assert pool.map(time.sleep, [0.2] * 6, chunksize=1) == [None] * 6
        assert pool.map(abs, range(100)) == list(range(100))
    pool.join()


@pytest.mark.parametrize("initializer", [count_and_exit, count_and_die_soon])
def test_workers_that_die_at_once_are_not_started_for_ever(context, tmp_path, initializer):
    with context.Pool(2, initializer, (str(tmp_path),)) as pool:
        results = [pool.apply_async(nap, (60,)), pool.map_async(nap, [60])]
        for error in map(outcome, results):
            assert isinstance(error, WorkerDied)
        # No short task: a worker may get that far before it dies.
        with pytest.raises(WorkerDied):
            pool.apply(nap, (60,))
    pool.join()
    assert len(list(tmp_path.iterdir())) < 60


class NoProcesses:
    """A context whose processes cannot be started."""

    tries = 0

    def Process(self, **options):
        self.tries += 1
        raise BlockingIOError(11, "Resource temporarily unavailable")


class FewProcesses(NoProcesses):
    """A context whose processes can be started after some tries."""

    def __init__(self, context, refused):
        self._context, self._refused = context, refused

    def __getattr__(self, name):
        return getattr(self._context, name)

    def Process(self, **options):
        return super().Process(**options) if self.tries < self._refused else self._context.Process(**options)


def test_a_pool_whose_workers_cannot_be_started_ends_with_the_reason(context):
    with context.Pool(2) as pool:
        pool._crew._ctx = refusing = NoProcesses()
        results = [pool.apply_async(die, (0,)) for _ in range(2)] + [pool.apply_async(square, (2,)) for _ in range(4)]
        for error in map(outcome, results):
            assert isinstance(error, WorkerDied)
        with pytest.raises(WorkerDied, match="no worker of the pool could be started.*temporarily") as caught:
            pool.map(square, range(4))
        assert isinstance(caught.value.__cause__, BlockingIOError)
        assert refusing.tries < 20
    pool.join()


def test_a_shortage_that_passes_is_waited_for(context):
    with context.Pool(2) as pool:
        pool._crew._ctx = refusing = FewProcesses(pool._crew._ctx, 5)
        for result in [pool.apply_async(die, (0,)) for _ in range(2)]:
            assert isinstance(outcome(result), WorkerDied)
        assert outcome(pool.apply_async(square, (5,))) == 25
        assert refusing.tries == 5
    pool.join()


def test_hundreds_of_deaths_in_a_row_are_served(context):
    with context.Pool(2) as pool:
        # By the others it is the same work, and each start takes its time.
        deaths = 300 if context.get_start_method() == "fork" else 30
        results = [pool.apply_async(os._exit, (3,)) for _ in range(deaths)]
        assert all(isinstance(outcome(result), WorkerDied) for result in results)
        assert pool.map(abs, range(10)) == list(range(10))
    pool.join()


@pytest.mark.parametrize(
    "text, bytes_",
    [("1", 1), ("800MB", 800_000_000), ("2GB", 2 * 10**9), ("1.5 GiB", 3 << 29), ("64k", 64_000), ("3tib", 3 << 40)],
)
def test_sizes_as_texts(text, bytes_):
    assert memory(text) == bytes_


@pytest.mark.parametrize(
    "options",
    [{"max_memory": wrong} for wrong in (0, -1, "0", "-5MB", "2 apples", "", "1e9", "__import__('os')", 2**64)]
    + [{"max_tasks": wrong} for wrong in (0, -1)]
    + [{"max_age": wrong} for wrong in (0, -1, float("nan"), float("inf"))]
    + [{"max_tasks": 3, "maxtasksperchild": 4}],
)
def test_limits_out_of_range_are_refused(options):
    with pytest.raises(ValueError):
        procession.Pool(1, **options)


@pytest.mark.parametrize(
    "options",
    [{"max_memory": wrong} for wrong in (1e9, b"2GB", True, [])]
    + [{"max_tasks": wrong} for wrong in (1.5, "3", True)]
    + [{"max_age": wrong} for wrong in ("3", True, [])]
    + [{"max_memeory": 3}],
)
def test_limits_of_the_wrong_type_are_refused(options):
    with pytest.raises(TypeError):
        procession.Pool(1, **options)
