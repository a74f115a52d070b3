"""What parallelbar's documentation shows, by each pool it has."""

import multiprocessing
import time

import parallelbar
import pytest

FUNCTIONS = [parallelbar.progress_map, parallelbar.progress_imap, parallelbar.progress_imapu]
known = 0


def double(number):
    return 2 * number


def inverse(number):
    return 1 / number


def slow(number):
    time.sleep(30 if number == 1 else 0)
    return number


def add(one, two):
    return one + two


def remember(value):
    global known
    known = value


def plus_known(number):
    return number + known


@pytest.fixture(params=[None, "fork", "spawn", "forkserver"])
def context(request):
    return request.param


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_every_item_has_its_result(function, executor, context):
    found = function(double, range(100), n_cpu=2, chunk_size=7, executor=executor, context=context)
    assert sorted(found) == [2 * n for n in range(100)]


def test_starmap_unpacks_arguments(context):
    assert parallelbar.progress_starmap(add, [(n, n) for n in range(20)], n_cpu=2, context=context) == [
        2 * n for n in range(20)
    ]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_exception_is_raised(function):
    with pytest.raises(ZeroDivisionError):
        function(inverse, [1, 2, 0, 4], n_cpu=2)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_failed_tasks_are_told(function, context):
    found, failed = function(
        inverse,
        [1, 0, 2],
        n_cpu=2,
        context=context,
        error_behavior="coerce",
        set_error_value=-1,
        return_failed_tasks=True,
    )
    assert sorted(found) == [-1, 0.5, 1]
    assert failed == [0]


def test_a_task_has_a_time_limit():
    found = parallelbar.progress_map(
        slow, range(3), n_cpu=2, chunk_size=1, process_timeout=1, error_behavior="coerce", set_error_value=-1
    )
    assert found == [0, -1, 2]


def test_the_whole_map_has_a_time_limit():
    with pytest.raises(multiprocessing.TimeoutError):
        parallelbar.progress_map(slow, range(3), n_cpu=2, chunk_size=1, timeout=1)


def test_an_initializer_runs_in_each_worker(context):
    found = parallelbar.progress_map(
        plus_known, range(4), n_cpu=2, initializer=remember, initargs=(5,), context=context
    )
    assert found == [5, 6, 7, 8]


def test_workers_are_replaced():
    assert parallelbar.progress_map(double, range(12), n_cpu=2, chunk_size=1, maxtasksperchild=2) == [
        2 * n for n in range(12)
    ]
