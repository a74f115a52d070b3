"""Maps that nobody waits for any more, and lazy maps whose reader is gone: they end, and their pool is free."""

import asyncio
import contextlib
import functools
import glob
import itertools
import os
import signal
import threading
import time

import procession
import pytest
from procession.futures import ProcessPoolExecutor
from procession.pool import ThreadPool
from tasks.ctrl_c import check_ended_by_ctrl_c
from tasks.interrupted import HOURS, note_and_sleep, square, tell_and_sleep, tell_and_sleep_of, tell_and_stay

LIMIT_S = 60


class Stop(Exception):
    """What the signal handler of a test raises."""


@pytest.fixture(params=["Ctrl-C", "another signal"])
def interrupt(request):
    """A signal, and what it raises in the main thread."""
    if request.param == "Ctrl-C":
        yield signal.SIGINT, KeyboardInterrupt
        return

    def stop(number, frame):
        raise Stop

    before = signal.signal(signal.SIGUSR1, stop)
    yield signal.SIGUSR1, Stop
    signal.signal(signal.SIGUSR1, before)


def notes(folder, text):
    return len(glob.glob(f"{folder}/{text}-*"))


def await_notes(folder, text, count):
    limit = time.monotonic() + LIMIT_S
    while notes(folder, text) < count and time.monotonic() < limit:
        time.sleep(0.005)
    assert notes(folder, text) >= count


def is_free(pool):
    """Whether it takes tasks."""
    return pool.map_async(square, range(100), 1).get(LIMIT_S) == [number**2 for number in range(100)]


CALLS = {
    "map": lambda pool, task: pool.map(tell_and_sleep, [task] * 100),
    "map in chunks": lambda pool, task: pool.map(tell_and_sleep, [task] * 100, 50),
    "starmap": lambda pool, task: pool.starmap(tell_and_sleep_of, [task] * 100),
    "apply": lambda pool, task: pool.apply(tell_and_sleep, (task,)),
    "stubborn tasks": lambda pool, task: pool.map(tell_and_stay, [task] * 100, 50),
    "a further option": lambda pool, task: pool.map(tell_and_sleep, [task] * 100, 50, priority=1),
    "an option of apply": lambda pool, task: pool.apply(tell_and_sleep, (task,), priority=1),
    "tasks with a deadline": lambda pool, task: pool.map(tell_and_sleep, [task] * 100, timeout=HOURS),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_interrupted_call_ends_what_runs_of_it_and_frees_its_pool(pool, call, interrupt, tmp_path):
    number, error = interrupt
    is_free(pool)
    with pytest.raises(error):
        CALLS[call](pool, (os.getpid(), number, tmp_path))
    assert is_free(pool)
    # What had not begun, some was on its way, does not begin any more; nor does the rest of a chunk.
    assert 1 <= notes(tmp_path, "begun") < 20
    assert pool.stats().waiting == pool.stats().running == 0


def test_a_closed_pool_whose_map_was_interrupted_can_be_joined(context, interrupt, tmp_path):
    number, error = interrupt
    pool = context.Pool(2)

    def close():
        await_notes(tmp_path, "begun", 2)  # none is about to begin
        pool.close()
        os.kill(os.getpid(), number)

    closing = threading.Thread(target=close)
    closing.start()
    with pytest.raises(error):
        pool.map(note_and_sleep, [tmp_path] * 10)
    closing.join()
    pool.join()
    assert notes(tmp_path, "begun") <= notes(tmp_path, "ended") < 10


def test_what_has_a_handle_goes_on_when_a_wait_for_it_is_interrupted(pool, interrupt, tmp_path):
    number, error = interrupt
    later = pool.map_async(functools.partial(wait_then_square, tmp_path, os.getpid(), number), range(10))
    with pytest.raises(error):
        (tmp_path / "waits").touch()
        later.get(LIMIT_S)
    (tmp_path / "go").touch()
    assert later.get(LIMIT_S) == [number**2 for number in range(10)]


def wait_then_square(folder, parent, number, item):
    await_file(folder / "waits")
    if item == 0:
        os.kill(parent, number)
    await_file(folder / "go")
    return square(item)


def await_file(path):
    limit = time.monotonic() + LIMIT_S
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.005)


class Numbers:
    """An endless generator that tells how far it was read, and when it was closed."""

    def __init__(self):
        self.taken = 0
        self.closed = threading.Event()
        self.generator = self._numbers()

    def _numbers(self):
        try:
            while True:
                self.taken += 1
                yield self.taken
        finally:
            self.closed.set()

    def hand_over(self):
        generator, self.generator = self.generator, None
        return generator


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
@pytest.mark.parametrize("chunksize", [1, 7])
def test_a_lazy_map_that_was_read_and_dropped_takes_no_more_items(pool, method, chunksize):
    numbers = Numbers()
    results = getattr(pool, method)(square, numbers.hand_over(), chunksize)
    assert next(results) >= 1
    del results
    assert numbers.closed.wait(LIMIT_S)
    assert is_free(pool)


@pytest.mark.parametrize("end", ["drop", "close", "closing"])
def test_what_is_out_of_a_lazy_map_ends_with_it(pool, end, tmp_path):
    results = pool.imap_unordered(note_and_sleep, itertools.repeat(tmp_path))
    with pytest.raises(procession.TimeoutError):
        results.next(0)
    await_notes(tmp_path, "begun", 2)
    if end == "drop":
        del results
    elif end == "close":
        results.close()
    else:
        with contextlib.closing(results):
            pass
    assert is_free(pool)
    await_notes(tmp_path, "ended", 2)
    assert notes(tmp_path, "begun") <= notes(tmp_path, "ended") < 10


def test_a_lazy_map_that_nobody_has_read_goes_on_when_it_is_dropped(pool):
    count = 5000
    numbers = iter(range(count))
    pool.imap(square, numbers)
    pool.close()
    pool.join()
    assert next(numbers, None) is None


def test_close_ends_a_lazy_map_and_its_generator(pool):
    numbers = Numbers()
    results = pool.imap(square, numbers.generator)
    assert [next(results) for _ in range(3)] == [1, 4, 9]
    results.close()
    assert numbers.closed.is_set() and next(numbers.generator, None) is None
    assert list(results) == []
    results.close()
    never_read = Numbers()
    pool.imap_unordered(square, never_read.generator).close()
    assert never_read.closed.is_set()
    done = pool.imap(square, range(3))
    assert is_free(pool)
    done.close()
    assert list(done) == []


def test_close_leaves_what_is_no_generator_open(pool, tmp_path):
    path = tmp_path / "lines"
    path.write_text("1\n" * 100_000)
    with open(path) as lines:
        results = pool.imap(int, lines)
        assert next(results) == 1
        results.close()
        assert not lines.closed


def test_a_generator_that_another_thread_is_in_is_closed_by_that_one(pool):
    waits, inside, go_on, closed = (threading.Event() for _ in range(4))

    def numbers():
        try:
            while True:
                if waits.is_set():
                    inside.set()
                    go_on.wait(LIMIT_S)
                yield 1
        finally:
            closed.set()

    results = pool.imap(square, numbers())
    waits.set()
    reader = threading.Thread(target=lambda: list(results))
    reader.start()
    assert inside.wait(LIMIT_S)
    results.close()
    assert not closed.is_set()
    go_on.set()
    assert closed.wait(LIMIT_S)
    reader.join(LIMIT_S)
    assert not reader.is_alive() and list(results) == []


def test_what_a_generator_raises_when_it_is_closed_is_raised_by_close(pool):
    def fails():
        try:
            while True:
                yield 1
        finally:
            raise LookupError("not closed")

    results = pool.imap(square, fails())
    assert next(results) == 1
    with pytest.raises(LookupError, match="not closed"):
        results.close()
    assert is_free(pool)


def test_coroutines_end_lazy_maps_too(pool, tmp_path):
    async def reads(results):
        return [number async for number in results]

    async def main():
        sleeping = pool.imap(note_and_sleep, [tmp_path] * 10)
        reader = asyncio.create_task(reads(sleeping))
        await asyncio.to_thread(await_notes, tmp_path, "begun", 1)
        sleeping.close()
        assert await asyncio.wait_for(reader, LIMIT_S) == []
        task = asyncio.create_task(reads(pool.imap(note_and_sleep, [tmp_path] * 10)))
        await asyncio.to_thread(await_notes, tmp_path, "begun", 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert is_free(pool)
    assert notes(tmp_path, "begun") < 20


def test_lazy_maps_of_a_shared_pool_end_alone(context):
    with procession.shared_pool(2, context=context) as pool:
        numbers, others = Numbers(), pool.imap(square, itertools.count())
        results = pool.imap(square, numbers.hand_over())
        assert next(results) == 1 and next(others) == 0
        del results
        assert numbers.closed.wait(LIMIT_S)
        assert [next(others) for _ in range(20_000)][-1] == 20_000**2
    procession.shared_pools.end_shared_pools()


@pytest.mark.parametrize("end", ["drop", "time", "interrupt"])
def test_the_map_of_an_executor_ends_with_its_reader(context, end, tmp_path):
    with ProcessPoolExecutor(2, context) as executor:
        if end == "interrupt":
            task = os.getpid(), signal.SIGINT, tmp_path
            results = executor.map(tell_when_awaited, [task] * 20)
            with pytest.raises(KeyboardInterrupt):
                (tmp_path / "waits").touch()
                next(results)
        elif end == "time":
            results = executor.map(note_and_sleep, [tmp_path] * 20, timeout=1)
            await_notes(tmp_path, "begun", 2)
            with pytest.raises(TimeoutError):
                next(results)
        else:
            results = executor.map(call, [str, *[note_and_sleep] * 20], [tmp_path] * 21)
            assert next(results) == str(tmp_path)
            await_notes(tmp_path, "begun", 2)
            del results
        assert executor.submit(square, 3).result(LIMIT_S) == 9
    assert notes(tmp_path, "begun") < 20


def call(function, argument):
    return function(argument)


def tell_when_awaited(task):
    await_file(task[2] / "waits")
    tell_and_sleep(task)


@pytest.mark.parametrize("call", ["map", "starmap", "apply"])
def test_an_interrupted_map_of_threads_begins_no_more_of_its_items(call):
    began, go_on, first = [], threading.Event(), threading.Lock()

    def task(_):
        began.append(1)
        if first.acquire(blocking=False):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        go_on.wait(LIMIT_S)

    with ThreadPool(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            match call:
                case "map":
                    pool.map(task, range(100), 50)
                case "starmap":
                    pool.starmap(task, [(1,)] * 100, 50)
                case "apply":
                    pool.apply(task, (1,))
        go_on.set()
        assert pool.map(square, range(10)) == [number**2 for number in range(10)]
        assert len(began) <= 2
        pool.close()
        pool.join()


@pytest.mark.parametrize("end", ["drop", "close"])
@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_a_lazy_map_of_threads_ends_with_its_reader(method, end):
    numbers = Numbers()
    with ThreadPool(2) as pool:
        results = getattr(pool, method)(square, numbers.hand_over(), 5)
        assert next(results) >= 1
        if end == "close":
            results.close()
            assert list(results) == []
        del results
        assert numbers.closed.wait(LIMIT_S)
        assert pool.map(square, range(10)) == [number**2 for number in range(10)]
        done = []
        pool.imap(done.append, iter(range(3000)))
        pool.close()
        pool.join()
        assert len(done) == 3000


def test_awaiting_a_result_of_threads_in_vain_cancels_it():
    go_on, began = threading.Event(), []

    def task(_):
        began.append(1)
        go_on.wait(LIMIT_S)

    async def main(pool):
        awaited = asyncio.create_task(gives(pool.map_async(task, range(100), 100)))
        while not began:
            await asyncio.sleep(0.001)
        awaited.cancel()
        with pytest.raises(asyncio.CancelledError):
            await awaited

    with ThreadPool(1) as pool:
        asyncio.run(main(pool))
        go_on.set()
        pool.close()
        pool.join()
    assert len(began) == 1


async def gives(result):
    return await result


INTERRUPTED = """
import time
import procession

def stay(number):
    if number == 0:
        print("ready", flush=True)
    time.sleep(3600)

if __name__ == "__main__":
    pool = procession.get_context(METHOD).Pool(2)
    WAIT
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("wait", ["pool.map(stay, range(9))", "pool.apply_async(stay, (0,)).get()"])
def test_a_program_that_ctrl_c_ends_ends_by_that_signal(method, wait, tmp_path):
    text = INTERRUPTED.replace("METHOD", repr(method)).replace("WAIT", wait)
    check_ended_by_ctrl_c(tmp_path, text, "ready\n", LIMIT_S)
