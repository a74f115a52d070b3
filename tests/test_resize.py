"""Pools whose number of workers changes: by request, by load, by the quota of the machine."""

import collections
import os
import random
import signal
import threading

import procession
import pytest
from procession._pool import cpus, thread_staff
from procession._pool.size import Elastic
from procession.pool import Pool

from benches import resizes
from tests.tasks import waiting

LIMIT_S = 60.0


def pids(pool):
    return {worker.pid for worker in pool._pool}


def whose(_):
    return os.getpid()


def wait_for(event):
    event.wait(LIMIT_S)
    return os.getpid()


def test_no_item_is_lost_or_runs_twice_while_the_size_changes_and_workers_are_killed(context):
    counts = resizes.run(context.get_start_method(), 40)
    assert counts.kills > 0
    assert (counts.resizes, counts.lost, counts.twice) == (40, 0, 0)


def test_workers_come_and_go_as_asked_and_a_busy_one_ends_its_task_first(context):
    with context.Manager() as manager, context.Pool(3) as pool:
        event = manager.Event()
        before = pids(pool)
        held = [pool.apply_async(wait_for, (event,)) for _ in range(2)]
        waiting.until(lambda: sum(worker.state == "working" for worker in pool.stats().workers) == 2)
        pool.resize(1)
        # The one that has nothing to do goes, and one of the two that have.
        waiting.until(lambda: len(pids(pool)) == 2)
        assert pids(pool) < before
        # Back to what there was: nobody has to be started for the place of one that is still at work.
        pool.resize(2)
        assert len(pids(pool)) == 2
        pool.resize(1)
        event.set()
        assert {result.get(LIMIT_S) for result in held} < before
        waiting.until(lambda: len(pids(pool)) == 1)
        pool.resize(4)
        assert len(pids(pool)) == 4
        assert [worker.place for worker in sorted(pool.stats().workers, key=lambda w: w.place)] == [0, 1, 2, 3]
        # One that is killed while fewer are wanted is not replaced.
        pool.resize(2)
        os.kill(next(iter(pids(pool))), signal.SIGKILL)
        waiting.until(lambda: pool.stats() and len(pids(pool)) == 2)
        assert set(pool.map(whose, range(40), chunksize=1)) <= pids(pool)
        pool.close()
        with pytest.raises(ValueError, match="not running"):
            pool.resize(3)
    pool.join()


def test_the_size_follows_the_load_and_the_quota(context, monkeypatch):
    """Up while tasks wait, down when the machine gives less or workers have nothing to do; then back to the least."""
    monkeypatch.setattr(cpus, "budget", lambda: 3)
    with context.Manager() as manager, context.Pool(min_workers=1, idle_timeout=0.1) as pool:
        event = manager.Event()
        assert len(pids(pool)) == 1
        held = [pool.apply_async(wait_for, (event,)) for _ in range(9)]
        waiting.until(lambda: len(pids(pool)) == 3)
        monkeypatch.setattr(cpus, "budget", lambda: 2)
        waiting.until(lambda: pool._processes == 2)
        event.set()
        assert len({result.get(LIMIT_S) for result in held}) <= 3
        waiting.until(lambda: len(pids(pool)) == 1)
        survivor = pids(pool)
        # One after the other: should others wait for long, there would be more workers again.
        assert {pool.apply(whose, (number,)) for number in range(3)} == survivor
    pool.join()


def test_the_least_is_kept_however_its_workers_end():
    with procession.get_context("fork").Pool(min_workers=2, max_workers=3, idle_timeout=0.05) as pool:
        first = pids(pool)
        os.kill(min(first), signal.SIGKILL)
        waiting.until(lambda: pool.stats() and len(pids(pool)) == 2 and pids(pool) != first)
        assert pool.map(abs, range(10)) == list(range(10))
    pool.join()


def idle(*seats):
    return [(seat, 0, True) for seat in seats]


def busy(*seats):
    return [(seat, 0, False) for seat in seats]


def test_the_rules_by_which_the_size_follows():
    """Added: when tasks have waited for two looks, as many as there are. Ended: who had nothing to do for so long."""
    size = Elastic(1, 6, 10.0)
    assert size.wanted(1, 5, busy(0), 0.0) == 1
    assert size.wanted(1, 5, busy(0), 0.1) == 2
    # Those that were asked for are not there yet: no more.
    assert size.wanted(2, 5, busy(0), 0.2) == 2
    assert size.wanted(2, 5, busy(0, 1), 0.3) == 4
    assert size.wanted(4, 1, busy(0, 1, 2, 3), 0.4) == 5
    assert size.wanted(5, 9, busy(0, 1, 2, 3, 4), 0.5) == 6
    # One that is free takes what waits.
    size = Elastic(1, 6, 10.0)
    assert [size.wanted(2, 5, [*busy(0), *idle(1)], now) for now in (0.0, 0.1)] == [2, 2]
    size = Elastic(2, 6, 10.0)
    assert size.wanted(4, 0, [*busy(0), *idle(1, 2, 3)], 0.0) == 4
    assert size.wanted(4, 0, [*busy(0), *idle(1, 2), (3, 1, True)], 9.9) == 4
    assert size.wanted(4, 0, [*busy(0), *idle(1, 2), (3, 1, True)], 10.0) == 2
    assert Elastic(3, 6, 0.0).wanted(4, 0, idle(0, 1, 2, 3), 0.0) == 3


def test_what_makes_no_sense_is_refused_where_it_is_given():
    for wrong, kind in (
        ({"min_workers": 0}, ValueError),
        ({"min_workers": 3, "max_workers": 2}, ValueError),
        ({"max_workers": "2"}, TypeError),
        ({"idle_timeout": -1}, ValueError),
        ({"idle_timeout": "soon"}, TypeError),
        ({"processes": 5, "max_workers": 4}, ValueError),
    ):
        with pytest.raises(kind):
            Pool(**wrong)
    with pytest.raises(NotImplementedError, match="a serial pool.* has no min_workers"):
        Pool(max_workers=2, crew="serial")
    with Pool(1, crew="serial") as pool, pytest.raises(NotImplementedError, match="a serial pool.* has no resize"):
        pool.resize(2)
    with Pool(1) as pool:
        for wrong, kind in ((0, ValueError), (100000, ValueError), (1.5, TypeError)):
            with pytest.raises(kind):
                pool.resize(wrong)
        shared = procession.shared_pool(1)
        with pytest.raises(NotImplementedError, match="shared"):
            shared.resize(2)
    procession.end_shared_pools()
    pool.join()


def test_many_threads_may_set_the_size_at_once():
    with procession.get_context("fork").Pool(2) as pool:
        setters = [threading.Thread(target=lambda n=n: [pool.resize(n) for _ in range(5)]) for n in (1, 2, 3, 4)]
        for setter in setters:
            setter.start()
        assert pool.map(abs, range(2000), chunksize=5) == list(range(2000))
        for setter in setters:
            setter.join()
        pool.resize(2)
        waiting.until(lambda: len(pids(pool)) == 2)
    pool.join()


class Counted:
    """Counts how often each item runs."""

    def __init__(self):
        self.runs = collections.Counter()
        self._lock = threading.Lock()

    def __call__(self, item):
        with self._lock:
            self.runs[item] += 1
        return item


def test_no_item_is_lost_or_runs_twice_while_the_number_of_threads_changes():
    counted, ended = Counted(), []
    dice = random.Random(3)
    with Pool(2, crew="threads", finalizer=lambda: ended.append(threading.current_thread())) as pool:
        maps = [pool.map_async(counted, range(n * 500, n * 500 + 500), 1 + n % 3) for n in range(20)]
        lazy = pool.imap(counted, iter(range(10_000, 11_000)))
        for _ in range(1000):
            pool.resize(dice.randrange(1, 7))
        assert [item for one in maps for item in one.get(LIMIT_S)] == list(range(10_000))
        assert list(lazy) == list(range(10_000, 11_000)) and set(counted.runs.values()) == {1}
        pool.resize(3)
        waiting.until(lambda: len(pool._pool) == 3)
        # A thread whose task was given up gives its place to another one, or to nobody if there are too many.
        event = threading.Event()
        held = [pool.apply_async(event.wait, (LIMIT_S,), timeout=0.05) for _ in range(3)]
        pool.resize(1)
        assert all(type(error) is procession.TaskTimeout for error in map(error_of, held))
        waiting.until(lambda: len(pool._pool) == 1)
        assert pool.apply(abs, (-1,)) == 1 and pool._processes == 1
        event.set()
        pool.resize(4)
        pool.close()
    pool.join()
    # Those whose task was given up end without.
    assert len(set(ended)) == len(ended) >= 4 and not any(thread.is_alive() for thread in ended)


def error_of(result):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        result.get(LIMIT_S)
    return caught.value


def test_the_number_of_threads_follows_the_load_and_the_quota(monkeypatch):
    monkeypatch.setattr(cpus, "budget", lambda: 5)
    monkeypatch.setattr(thread_staff, "QUOTA_S", 0)
    event = threading.Event()
    with Pool(crew="threads", min_workers=1, idle_timeout=0.05) as pool:
        assert len(pool._pool) == 1
        held = [pool.apply_async(event.wait, (LIMIT_S,)) for _ in range(9)]
        assert len(pool._pool) == 5
        monkeypatch.setattr(cpus, "budget", lambda: 2)
        held.append(pool.apply_async(event.wait, (LIMIT_S,)))
        assert pool._processes == 2
        event.set()
        assert all(result.get(LIMIT_S) for result in held)
        waiting.until(lambda: len(pool._pool) == 1)
        for count in range(40):
            assert pool.map(abs, range(count), chunksize=1) == list(range(count))
        pool.resize(2)
        waiting.until(lambda: len(pool._pool) == 1)
    pool.join()
    with Pool(crew="threads", min_workers=1, idle_timeout=LIMIT_S) as pool:
        pool.resize(2)
        assert len(pool._pool) == 2
    pool.join()
    with Pool(crew="threads", min_workers=2, max_workers=3, idle_timeout=0) as pool:
        assert sum(pool.map(abs, range(1000), chunksize=1)) == 499_500
        waiting.until(lambda: len(pool._pool) == 2)
    pool.join()
