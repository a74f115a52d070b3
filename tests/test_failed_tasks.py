"""`on_error=` and `first_error=`: failures of a map as values, left out, or raised by time."""

import os
import pickle
import signal
import time

import procession
import pytest
from procession import TaskFailed
from procession.pool import Pool

LIMIT_S = 60


def task(number):
    if number == 3:
        raise KeyError(number)
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        time.sleep(LIMIT_S)
    return -number


def fail_at(first, second):
    if first == second:
        raise KeyError(first)
    return -first


def fail_in_order(number, path):
    """Fail; the first item does when it is told to."""
    while number == 0 and not os.path.exists(path):
        time.sleep(0.001)
    raise KeyError(number)


def kinds(outcomes):
    return [
        (one.index, one.item, type(one.exception)) if isinstance(one, TaskFailed) else one
        for one in outcomes
        if not isinstance(one, int)
    ]


FAILED = [(3, 3, KeyError), (5, 5, procession.WorkerDied)]
GOOD = [0, -1, -2, -4, -6]


def test_failures_of_all_kinds_are_returned_or_left_out(context):
    with context.Pool(2) as pool:
        options = {"on_error": "return"}
        found = pool.map(task, range(7), 4, **options)
        assert kinds(found) == FAILED and [one for one in found if isinstance(one, int)] == GOOD
        assert kinds(pool.imap(task, iter(range(7)), **options)) == FAILED
        assert kinds(pool.imap_unordered(task, range(5), **options)) == FAILED[:1]
        assert kinds(pool.map(task, [7, 7], timeout=0.1, **options)) == [(n, 7, procession.TaskTimeout) for n in (0, 1)]
        failed = pickle.loads(pickle.dumps(found[3]))
        assert "KeyError: 3" in failed.traceback and "in task" in failed.traceback and "3: KeyError" in repr(failed)
        with pytest.raises(KeyError, match="3"):
            raise failed.exception
        seen = []
        options["on_error"] = "skip"
        result = pool.map_async(task, range(5), callback=seen.append, error_callback=seen.append, **options)
        assert result.get(LIMIT_S) == result.get() == GOOD[:4] == seen.pop() and result.skipped == 1
        lazy = pool.imap_unordered(task, range(5), **options)
        assert sorted(lazy, reverse=True) == GOOD[:4] and lazy.skipped == 1
        # What cannot be sent is a failure, too; tries are what they are.
        found = pool.map(abs, [1, (n for n in ()), -3], on_error="return", retries=1, retry_on=TypeError)
        assert found[::2] == [1, 3] and found[1].index == 1 and isinstance(found[1].exception, TypeError)
        assert pool.map(abs, [-1], on_error="raise") == [1] and pool.map(abs, [], on_error="skip") == []
    pool.join()


def test_failures_are_returned_or_left_out_by_each_crew():
    for crew in ("threads", "serial"):
        with Pool(2, crew=crew, on_error="return") as pool:
            for chunksize in (None, 1, 4):
                found = pool.starmap(fail_at, [(number, 3) for number in range(6)], chunksize)
                assert kinds(found) == [(3, (3, 3), KeyError)] and found[4:] == [-4, -5]
            assert pool.map(int, ["1", "x", "2"], on_error="skip", retries=1, retry_on=ValueError) == [1, 2]
            lazy = pool.imap(int, iter(["1", "x", "2"]), 2, on_error="skip")
            assert list(lazy) == [1, 2] and lazy.skipped == 1
            assert kinds(pool.imap_unordered(int, ["1", "x"])) == [(1, "x", ValueError)]
            with pytest.raises(ValueError, match="invalid literal"):
                pool.map(int, ["x"], on_error="raise")
            with pytest.raises(ValueError, match="invalid literal"):  # a call of one task
                pool.apply(int, ("x",))
            with pytest.raises(ZeroDivisionError):  # which is no task's
                list(pool.imap(abs, (1 // number for number in (1, 0))))
        pool.join()


def test_the_failure_that_comes_first_is_raised_where_that_is_asked_for(tmp_path):
    for crew in ("processes", "threads"):
        with Pool(2, crew=crew) as pool:
            for first_error, number in (("position", 0), ("time", 9)):
                path = tmp_path / f"{crew}{first_error}"
                items = [(place, str(path)) for place in (0, 9)]
                result = pool.starmap_async(fail_in_order, items, 1, first_error=first_error)
                while result._core.counts()[0] < 1:
                    assert not result.ready()
                path.touch()
                with pytest.raises(KeyError, match=str(number)):
                    result.get(LIMIT_S)
        pool.join()


def test_what_makes_no_sense_is_refused_at_the_call():
    with Pool(1, crew="serial") as pool:
        for wrong in ("ignore", None, 3):
            with pytest.raises(ValueError, match="on_error must be 'raise', 'return' or 'skip'"):
                pool.map(abs, [1], on_error=wrong)
            with pytest.raises(ValueError, match="on_error must be"):
                Pool(1, crew="serial", on_error=wrong)
            with pytest.raises(ValueError, match="first_error must be 'position' or 'time'"):
                pool.map(abs, [1], first_error=wrong)
        with pytest.raises(TypeError, match="on_error='skip' is for maps"):
            pool.apply(abs, (1,), on_error="skip")
