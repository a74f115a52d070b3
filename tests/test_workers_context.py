"""Every worker of a pool, first or replacement, has the context of the thread that made the pool."""

import decimal
import os
import threading

import numpy
import procession
import pytest
from procession.futures import ProcessPoolExecutor
from tasks.contexts import die, state, variable

LIMIT_S = 60
ALL_CPUS = sorted(os.sched_getaffinity(0))
MAIN_THREAD = (True, "MainThread", False, False)
# Of the maker under fork; the others are new interpreters.
MADE = (50, "raise", "made", ALL_CPUS, MAIN_THREAD)
NEW = (28, "warn", "unset", ALL_CPUS, MAIN_THREAD)


def expected(context):
    return MADE if context.get_start_method() == "fork" else NEW


def in_thread(function):
    """Call a function in a thread of its own, which has a context of its own; return what it returns."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return results[0]


@pytest.fixture(autouse=True)
def maker():
    """Be a thread whose context is not that of others."""
    token = variable.set("made")
    with decimal.localcontext() as ctx, numpy.errstate(divide="raise"):
        ctx.prec = 50
        yield
    variable.reset(token)


def ways(pool):
    """Return what tasks tell that were started in each way, by this thread and another."""
    yield from (pool.apply(state) for _ in range(2))
    yield from (pool.apply_async(state).get(LIMIT_S) for _ in range(2))
    yield from pool.map(state, range(2), chunksize=1)
    yield from pool.map_async(state, range(2), chunksize=1).get(LIMIT_S)
    yield from pool.imap_unordered(state, range(2))
    yield from in_thread(lambda: [pool.apply(state) for _ in range(2)])
    yield from in_thread(lambda: pool.map(state, range(2), chunksize=1))


def test_replaced_workers_have_the_context_of_the_pools_maker(context):
    with context.Pool(2, maxtasksperchild=1) as pool:
        assert set(map(repr, ways(pool))) == {repr(expected(context))}


def test_workers_that_replace_killed_ones_have_the_context_of_the_pools_maker(context):
    with context.Pool(1) as pool:
        for kill in (lambda: pool.apply(die), lambda: in_thread(lambda: pool.apply_async(die)).get(LIMIT_S)):
            with pytest.raises(procession.WorkerDied):
                kill()
            assert pool.apply_async(state).get(LIMIT_S) == expected(context)


def test_a_change_after_the_pool_was_made_reaches_no_worker(context):
    with context.Pool(1, maxtasksperchild=1) as pool:
        assert pool.apply(state) == expected(context)
        decimal.getcontext().prec = 7
        variable.set("changed")
        assert [pool.apply(state), pool.apply_async(state).get(LIMIT_S)] == [expected(context)] * 2


def test_the_workers_of_an_executor_have_the_context_of_its_maker(context):
    with ProcessPoolExecutor(2, context, max_tasks_per_child=1) as executor:
        told = in_thread(lambda: [executor.submit(state).result(LIMIT_S) for _ in range(3)])
        told += [executor.submit(state).result(LIMIT_S), *executor.map(state, range(2))]
    assert set(map(repr, told)) == {repr(expected(context))}


@pytest.mark.skipif(len(ALL_CPUS) < 2, reason="needs two CPUs to take one away")
def test_replaced_workers_have_the_cpus_of_the_pools_maker(context):
    with context.Pool(1, maxtasksperchild=1) as pool:
        pool.apply_async(state).get(LIMIT_S)  # from now on a thread drives the pool
        os.sched_setaffinity(0, ALL_CPUS[:1])
        try:
            assert [pool.apply(state)[3], pool.apply_async(state).get(LIMIT_S)[3]] == [ALL_CPUS] * 2
            assert [pool.apply(state)[3] for _ in range(2)] == [ALL_CPUS] * 2
        finally:
            os.sched_setaffinity(0, ALL_CPUS)


def test_settings_of_the_pool_go_before_what_its_maker_has(context):
    with context.Pool(1, maxtasksperchild=1, cpu_affinity=ALL_CPUS[-1:]) as pool:
        os.sched_setaffinity(0, ALL_CPUS[:1])
        try:
            assert {tuple(pool.apply(state)[3]) for _ in range(3)} == {tuple(ALL_CPUS[-1:])}
        finally:
            os.sched_setaffinity(0, ALL_CPUS)
