"""One pool, executor or iterator of eight threads; pools and processes that all make; ends amid what is handed in."""

import os
import signal
from concurrent.futures import BrokenExecutor, CancelledError

import procession
import procession.futures
import pytest
from procession.pool import ThreadPool

from threads.crowd import LIMIT_S, THREADS, at_once, eight

# Eight threads are what is tried here.
pytestmark = pytest.mark.filterwarnings("ignore::procession.ForkBesideThreads")

# What is handed in while a pool ends is told one of these, or has its result.
ENDED = (procession.pool.PoolTerminated, ValueError)


def square(number):
    return number * number


def refuse(number):
    raise LookupError(number)


def kill_itself(number):
    os.kill(os.getpid(), signal.SIGKILL)


def add(*numbers):
    return sum(numbers)


def use_every_method(pool, number):
    """Call each method of a pool some times, with numbers that no other thread has."""
    for turn in range(3):
        first = 1000 * number + 10 * turn
        numbers = range(first, first + 10)
        squares = [square(n) for n in numbers]
        assert pool.apply(square, (first,)) == square(first)
        assert pool.map(square, numbers) == squares
        assert pool.starmap(add, zip(numbers, numbers, strict=True)) == [2 * n for n in numbers]
        assert list(pool.imap(square, numbers, 3)) == squares
        assert sorted(pool.imap_unordered(square, iter(numbers))) == squares
        seen = []
        result = pool.apply_async(square, (first,), callback=seen.append)
        assert result.get(LIMIT_S) == square(first) and seen == [square(first)]
        with pytest.raises(LookupError, match=str(first)):
            pool.map_async(refuse, [first]).get(LIMIT_S)


def test_one_pool_serves_all(pool):
    eight(lambda number: use_every_method(pool, number))


def test_one_pool_of_threads_serves_all():
    with ThreadPool(2) as pool:
        eight(lambda number: use_every_method(pool, number))
    pool.join()


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
@pytest.mark.parametrize("chunksize", [1, 7])
def test_one_iterator_gives_each_item_to_one_of_them(pool, method, chunksize):
    results = getattr(pool, method)(square, range(600), chunksize)
    taken = eight(lambda number: list(results))
    assert sorted(sum(taken, [])) == [square(n) for n in range(600)]


def test_one_iterator_of_a_pool_of_threads_gives_each_item_to_one_of_them():
    with ThreadPool(2) as pool:
        results = pool.imap(square, range(600))
        assert sorted(sum(eight(lambda number: list(results)), [])) == [square(n) for n in range(600)]
    pool.join()


def test_one_result_is_awaited_by_all(pool):
    for turn in range(10):
        result = pool.map_async(square, range(turn))
        answers = eight(lambda number, result=result: result.get(LIMIT_S))
        assert all(answer is answers[0] for answer in answers) and len(answers[0]) == turn


def test_pools_begin_and_end_in_all(context):
    def live(number):
        with context.Pool(1) as pool:
            assert pool.map(square, [number]) == [square(number)]
            if number % 2:
                pool.close()
        pool.join()

    eight(live)


def put_square(connection, number):
    connection.send(square(number))


def test_processes_begin_and_end_in_all(context):
    def live(number):
        mine, theirs = context.Pipe()
        child = context.Process(target=put_square, args=(theirs, number))
        child.start()
        assert mine.recv() == square(number)
        child.join(LIMIT_S)
        assert child.exitcode == 0 and child not in procession.active_children()
        child.close()
        mine.close()
        theirs.close()

    eight(live)


def test_a_death_fails_the_task_of_one_alone(pool):
    def live(number):
        for _ in range(2):
            guilty = pool.apply_async(kill_itself, (number,))
            assert pool.map(square, range(20)) == [square(n) for n in range(20)]
            with pytest.raises(procession.WorkerDied):
                guilty.get(LIMIT_S)

    eight(live)


@pytest.mark.parametrize("end", ["terminate", "close"])
def test_all_have_an_answer_when_one_ends_the_pool(context, end):
    for _ in range(3):
        pool = context.Pool(2)
        got = pool.map(abs, [1])

        def hand_in(pool=pool):
            answers = 0
            try:
                while True:
                    assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
                    assert pool.apply_async(square, (3,)).get(LIMIT_S) == 9
                    assert list(pool.imap_unordered(square, [4])) == [16]
                    answers += 1
            except ENDED:
                return answers

        at_once(*[hand_in] * (THREADS - 1), getattr(pool, end))
        pool.terminate()
        pool.join()
        assert got == [1]


def test_one_executor_serves_all(context):
    with procession.futures.ProcessPoolExecutor(2, mp_context=context) as executor:

        def live(number):
            for turn in range(10):
                assert executor.submit(square, turn).result(LIMIT_S) == square(turn)
                assert list(executor.map(square, range(turn))) == [square(n) for n in range(turn)]
                with pytest.raises(LookupError):
                    executor.submit(refuse, number).result(LIMIT_S)

        eight(live)


def test_all_have_an_answer_when_one_shuts_the_executor_down(context):
    executor = procession.futures.ProcessPoolExecutor(2, mp_context=context)
    assert executor.submit(square, 2).result(LIMIT_S) == 4

    def hand_in():
        try:
            while True:
                assert executor.submit(square, 3).result(LIMIT_S) == 9
        except (RuntimeError, CancelledError, BrokenExecutor) as error:
            return type(error)

    ends = at_once(*[hand_in] * (THREADS - 1), lambda: executor.shutdown(cancel_futures=True))
    assert None not in ends[:-1]
