"""Blocks that no task outlives, in programs of threads, of asyncio, of trio and of anyio."""

import asyncio
import concurrent.futures
import os
import sys
import threading
import time

import anyio
import procession
import pytest
import trio
from procession.pool import ThreadPool
from procession.scopes import Scope

from tests.tasks import waiting

LIMIT_S = 60


def fail(text):
    raise ValueError(text)


def fail_once_there_is(path, text):
    waiting.until(lambda: os.path.exists(path), "the word to fail")
    raise ValueError(text)


def note_and_wait(path):
    """Say that it runs, and run for ever."""
    with open(path + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.replace(path + ".part", path)  # whoever sees it may end this process at once
    while True:
        time.sleep(0.01)


def is_idle(pool):
    return all(worker.task is None for worker in pool.stats().workers)


def test_a_scope_waits_for_its_tasks_and_the_first_failure_ends_the_others(pool, tmp_path):
    with procession.scope(pool, priority=1) as scope:
        results = [scope.submit(pow, n, 2) for n in range(200)]
        mapped = scope.map(abs, [-1, -2])
    assert all(result.ready() for result in results) and results[-1].get() == 199**2 and mapped.get() == [1, 2]
    with pytest.raises(RuntimeError, match="was left"):
        scope.submit(abs, 1)

    path = str(tmp_path / "runs")
    with pytest.raises(ExceptionGroup, match="1 of 4 tasks") as info, procession.scope(pool) as scope:
        endless = scope.submit(note_and_wait, path)
        waiting.until(lambda: os.path.exists(path), "the endless task")
        scope.submit(fail_once_there_is, path + ".all", "the first")
        other = scope.submit(note_and_wait, path)
        scope.submit(note_and_wait, path)
        open(path + ".all", "w").close()  # none can be submitted once one has failed
    assert is_idle(pool)
    assert [str(error) for error in info.value.exceptions] == ["the first"]
    for result in (endless, other):
        with pytest.raises(concurrent.futures.CancelledError):
            result.get()

    # What the block raises ends its tasks, too; a task's own error that was asked for comes once.
    with pytest.raises(KeyError), procession.scope(pool) as scope:
        scope.submit(note_and_wait, path)
        raise KeyError("the block's own")
    assert is_idle(pool)
    with pytest.raises(ExceptionGroup) as info, procession.scope(pool) as scope:
        scope.submit(fail, "asked for").get()
    assert [str(error) for error in info.value.exceptions] == ["asked for"]
    with pytest.raises(ExceptionGroup) as info, procession.scope(pool) as scope:
        scope.submit(fail, "a task's")
        waiting.until(lambda: scope._failures, "the failure")
        with pytest.raises(concurrent.futures.CancelledError, match="was cancelled"):
            scope.submit(abs, 1)
        raise KeyError("the block's")
    assert [type(error) for error in info.value.exceptions] == [KeyError, ValueError]

    scope = procession.scope(pool)
    with scope:
        scope.submit(note_and_wait, path)
        scope.cancel()
    assert is_idle(pool)


def test_a_scope_ends_with_ctrl_c_and_with_a_worker_that_dies(pool, tmp_path):
    path = str(tmp_path / "runs")
    with pytest.raises(KeyboardInterrupt), procession.scope(pool) as scope:
        scope.submit(note_and_wait, path)
        raise KeyboardInterrupt
    assert is_idle(pool)
    with pytest.raises(ExceptionGroup) as info, procession.scope(pool) as scope:
        scope.submit(note_and_wait, path)
        scope.submit(os.abort)
    assert [type(error) for error in info.value.exceptions] == [procession.WorkerDied]
    assert pool.map(abs, [-1]) == [1]


def test_a_scope_waits_for_tasks_that_come_while_it_is_left():
    main, is_left = threading.get_ident(), threading.Event()

    def is_being_left():
        frame = sys._current_frames()[main]
        while frame is not None and frame.f_code is not Scope.__exit__.__code__:
            frame = frame.f_back
        return frame is not None

    def submit_another():
        waiting.until(is_being_left)
        return scope.submit(is_left.wait, 0.3)

    with ThreadPool(2) as pool:
        with procession.scope(pool) as scope:
            for _ in range(63):  # as many as are let go of together, with the one that comes next
                scope.submit(abs, -1).get()
            first = scope.submit(submit_another)
        is_left.set()
        assert first.get().get() is False
        pool.close()
        pool.join()


async def use(method, sleep, path):
    """Run what a program of coroutines does; return what it got, and the pool."""
    async with procession.open_pool(2, **method) as pool:
        got = [await pool.apply_async(pow, (2, 5)), await pool.map_async(abs, [-1, -2])]
        got.append([x async for x in pool.imap(abs, [-3, -4])])
        async with procession.scope(pool) as scope:
            results = [scope.submit(pow, n, 2) for n in range(20)]
        got.append(sum(result.get() for result in results))
        with pytest.raises(ExceptionGroup):
            async with procession.scope(pool) as scope:
                scope.submit(note_and_wait, path)
                while not os.path.exists(path):
                    await sleep(0.01)
                scope.submit(fail, "a task's")
        late = pool.apply_async(pow, (3, 2))
    got.append(late.get())
    return got, pool


async def wait_for_ever(path):
    async with procession.open_pool(2) as pool, procession.scope(pool) as scope:
        scope.submit(note_and_wait, path)
        await scope.submit(note_and_wait, path + "2")


async def cancelled_by_asyncio(path):
    task = asyncio.create_task(wait_for_ever(path))
    while not os.path.exists(path):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancelled_by_trio(path):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_ever, path)
        while not os.path.exists(path):
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def cancelled_by_anyio(path):
    async with anyio.create_task_group() as group:
        group.start_soon(wait_for_ever, path)
        while not os.path.exists(path):
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()


RUNS = {
    "asyncio": (asyncio.run, asyncio.sleep, cancelled_by_asyncio),
    "trio": (lambda main: trio.run(lambda: main), trio.sleep, cancelled_by_trio),
    "anyio on asyncio": (lambda main: anyio.run(lambda: main), anyio.sleep, cancelled_by_anyio),
    "anyio on trio": (lambda main: anyio.run(lambda: main, backend="trio"), anyio.sleep, cancelled_by_anyio),
}


@pytest.mark.parametrize("name", RUNS)
def test_coroutines_have_pools_and_scopes(name, tmp_path):
    run, sleep, cancelled = RUNS[name]
    got, pool = run(use({}, sleep, str(tmp_path / "runs")))
    assert got == [32, [1, 2], [3, 4], sum(n * n for n in range(20)), 9]
    assert pool._pool == []
    path = str(tmp_path / "cancelled")
    run(cancelled(path))
    pid = int(open(path).read())
    waiting.until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the worker")


def test_an_open_pool_waits_for_its_tasks_and_an_exception_ends_them(context, tmp_path):
    procession.set_start_method(context.get_start_method(), force=True)
    try:
        with procession.open_pool(2) as pool:
            results = [pool.apply_async(pow, (n, 2)) for n in range(50)]
        assert [result.get() for result in results] == [n * n for n in range(50)] and pool._pool == []
        path = str(tmp_path / "runs")
        with pytest.raises(KeyError), procession.open_pool(2) as pool:
            endless = pool.apply_async(note_and_wait, (path,))
            raise KeyError
        with pytest.raises(procession.PoolTerminated):
            endless.get()
        assert pool._pool == []
    finally:
        procession.set_start_method(None, force=True)


def test_the_end_of_an_open_pool_that_waits_for_a_task_can_be_cancelled():
    async def main():
        async with procession.open_pool(1) as pool:
            result = pool.apply_async(time.sleep, (LIMIT_S,))
            asyncio.get_running_loop().call_later(0.05, asyncio.current_task().cancel)
        return result

    for _ in range(5):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())


def test_threads_may_join_and_terminate_a_pool_at_once(context):
    for _ in range(3):
        pool = context.Pool(2)
        held = [pool.apply_async(time.sleep, (LIMIT_S,)) for _ in range(2)]
        pool.close()
        errors = []

        def end(call, errors=errors):
            try:
                call()
            except BaseException as error:
                errors.append(error)

        enders = [threading.Thread(target=end, args=(call,)) for call in (pool.join, pool.join, pool.terminate)]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join(LIMIT_S)
        assert errors == [] and all(isinstance(error_of(result), procession.PoolTerminated) for result in held)


def error_of(result):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        result.get(LIMIT_S)
    return caught.value
