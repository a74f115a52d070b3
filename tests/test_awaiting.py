"""Results in coroutines, and the wishes and cancellation of an executor's calls."""

import asyncio
import concurrent.futures
import threading
import time

import pytest
from procession.futures import ProcessPoolExecutor
from procession.pool import OverMemory, TaskTimeout, WorkerDied
from tasks.limits import stuck_in_c
from tasks.weights import limit_beyond

LIMIT_S = 60


async def gather(pool):
    results = [pool.apply_async(pow, (n, 2)) for n in range(20)]
    return await asyncio.gather(*results), await pool.map_async(abs, range(-5, 0))


async def read(pool):
    return [x async for x in pool.imap(abs, range(-50, 0))], [
        x async for x in pool.imap_unordered(abs, range(-50, 0), chunksize=7)
    ]


async def fail(pool):
    with pytest.raises(TypeError):
        await pool.apply_async(abs, ("a",))
    results = pool.imap(abs, [1, "a", -3])
    got = [await anext(results)]
    with pytest.raises(TypeError):
        await anext(results)
    return [*got, await anext(results)]


async def give_up(pool):
    result = pool.apply_async(time.sleep, (600,))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(result, 0.1)
    return result.cancel()


def test_results_can_be_awaited(context):
    threads = threading.active_count()
    with context.Pool(2) as pool:
        squares, positives = asyncio.run(gather(pool))
        assert squares == [n * n for n in range(20)] and positives == [5, 4, 3, 2, 1]
        assert threading.active_count() <= threads + 1
        ordered, unordered = asyncio.run(read(pool))
        assert ordered == list(range(50, 0, -1)) == sorted(unordered, reverse=True)
        assert asyncio.run(fail(pool)) == [1, 3]
    pool.join()


def test_cancelling_a_coroutine_cancels_its_task(context):
    with context.Pool(1) as pool:
        assert asyncio.run(give_up(pool)) is False
        assert pool.apply(abs, (-1,)) == 1
    pool.join()


def test_a_running_call_of_an_executor_can_be_cancelled(context, tmp_path):
    with ProcessPoolExecutor(1, context) as executor:
        path = tmp_path / "begun"
        stuck, waiting, later = (
            executor.submit(stuck_in_c, str(path)),
            executor.submit(abs, -1),
            executor.submit(abs, -2),
        )
        end = time.monotonic() + LIMIT_S
        while not path.exists():
            assert time.monotonic() < end
            time.sleep(0.005)
        told = []
        stuck.add_done_callback(told.append)
        assert stuck.running() and stuck.cancel() and stuck.cancel() and stuck.cancelled() and told == [stuck]
        assert waiting.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            stuck.result(LIMIT_S)
        assert later.result(LIMIT_S) == 2 and not later.cancel()
        assert concurrent.futures.wait([stuck, waiting], LIMIT_S).not_done == set()


def test_cancelling_an_asyncio_task_stops_its_call(context):
    async def run(executor):
        call = asyncio.get_running_loop().run_in_executor(executor, time.sleep, 600)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(call, 0.2)
        return await asyncio.get_running_loop().run_in_executor(executor, abs, -4)

    with ProcessPoolExecutor(1, context) as executor:
        assert asyncio.run(run(executor)) == 4


def test_calls_of_an_executor_have_deadlines_and_further_tries(context):
    with ProcessPoolExecutor(2, context, task_timeout=0.5) as executor:
        late = [executor.submit(time.sleep, 600), executor.schedule(time.sleep, (600,), timeout=0.2)]
        patient = executor.schedule(time.sleep, (0.7,), timeout=LIMIT_S)
        for future in late:
            with pytest.raises(TaskTimeout):
                future.result(LIMIT_S)
        assert patient.result(LIMIT_S) is None
        tried = executor.schedule(int, ("x",), timeout=LIMIT_S, retries=2, retry_on=ValueError)
        assert isinstance(tried.exception(LIMIT_S), ValueError)
        assert executor.schedule(int, timeout=LIMIT_S, kwargs={}).result(LIMIT_S) == 0


def test_an_executor_takes_the_options_of_a_pool(context):
    with ProcessPoolExecutor(1, context, max_memory=limit_beyond(context, 150)) as executor:
        error = executor.submit(bytes.__mul__, b"x", 1 << 30).exception(LIMIT_S)
        assert isinstance(error, OverMemory) and isinstance(error, WorkerDied)
        assert executor.submit(abs, -1).result(LIMIT_S) == 1


@pytest.mark.parametrize(
    "options", [{"task_timeout": 0}, {"task_timeout": float("nan")}, {"max_memory": 0}, {"max_age": -1}]
)
def test_options_out_of_range_are_refused_at_once(options):
    with pytest.raises(ValueError):
        ProcessPoolExecutor(1, **options)


def test_options_of_the_wrong_kind_are_refused_at_once():
    for options in ({"task_timeout": "1"}, {"max_memory": 1.5}, {"max_memroy": 1}):
        with pytest.raises(TypeError):
            ProcessPoolExecutor(1, **options)
    with ProcessPoolExecutor(1) as executor:
        with pytest.raises(ValueError):
            executor.schedule(abs, (1,), timeout=-1)
        with pytest.raises(TypeError):
            executor.schedule(abs, (1,), retries="1")
