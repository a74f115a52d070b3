"""What goes out first: by priority, by cost; and tasks that hold units of what there are few of."""

import contextlib
import os
import signal
import threading
import time

import procession
import pytest
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool, ThreadPool

from tests.tasks import waiting

LIMIT_S = 60.0


def when(item=None):
    return time.monotonic_ns()


def hold(path):
    """Say that it runs, and go on when told."""
    with open(path + ".runs", "w"):
        pass
    waiting.until(lambda: os.path.exists(path), "the word to go on")


def held(pool, path):
    """Have the one worker of a pool do nothing until `path` exists."""
    pool.apply_async(hold, (path,))
    waiting.until(lambda: os.path.exists(path + ".runs"), "the first task")


def go_on(path):
    with open(path, "w"):
        pass


def test_an_urgent_task_goes_before_very_many_that_wait(context, tmp_path):
    path = str(tmp_path / "go")
    with context.Pool(1) as pool:
        held(pool, path)
        usual = pool.map_async(when, range(10**5 if context.get_start_method() == "fork" else 4 * 10**4))
        calls = [pool.apply_async(when, priority=-100) for _ in range(300)]
        more = pool.imap(when, range(50), priority=50)
        urgent = [pool.apply_async(when, priority=70) for _ in range(20)]
        most_urgent = pool.map_async(when, range(5), priority=100)
        go_on(path)
        order = [most_urgent.get(LIMIT_S), [one.get(LIMIT_S) for one in urgent], list(more), usual.get(LIMIT_S)]
        for before, after in zip(order, order[1:], strict=False):
            assert max(before) < min(after)
        # The last of the map are in hand or lie ready, and nothing else of it waits, when the first calls follow.
        # If the worker then gives some back, as one took long, these come behind: any may where a processor is shared.
        least = min(one.get(LIMIT_S) for one in calls)
        assert max(order[2]) < least and sorted(order[3])[len(order[3]) // 2] < least
    pool.join()


def outcomes(stream):
    """Return the results of a lazy map, and how many of its items died with their worker."""
    results, died = [], 0
    while True:
        try:
            results.append(stream.next(LIMIT_S))
        except procession.WorkerDied:
            died += 1
        except StopIteration:
            return results, died


def test_priorities_lose_nothing_while_workers_are_killed(context):
    with context.Pool(2) as pool:
        over, kills = threading.Event(), []

        def kill():
            while len(kills) < 20 and not over.wait(0.02):
                # Those that work: a pool none of whose workers comes that far is broken.
                for victim in [worker.pid for worker in pool.stats().workers if worker.state == "working"][:1]:
                    kills.append(victim)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            streams = [pool.imap_unordered(slow_negative, range(200), 3, priority=level) for level in (0, -5, 5, 2)]
            calls = [pool.apply_async(slow_negative, (n,), priority=n % 7) for n in range(50)]
            died = 0
            for stream in streams:
                results, lost = outcomes(stream)
                died += lost
                assert len(results) + lost == 200 and len(set(results)) == len(results)
            for n, call in enumerate(calls):
                try:
                    assert call.get(LIMIT_S) == -n
                except procession.WorkerDied:
                    died += 1
        finally:
            over.set()
            killer.join()
        assert died <= len(kills)
    pool.join()


def slow_negative(item):
    end = time.monotonic() + 0.0003
    while time.monotonic() < end:
        pass
    return -item


def test_the_most_expensive_items_go_first_and_results_stay_in_order(context, tmp_path):
    path = str(tmp_path / "go")
    with context.Pool(1) as pool:
        held(pool, path)
        one = pool.map_async(both, [3, 9, 1, 7, 9, 5], order="longest", cost=float)
        two = pool.starmap_async(both, [(3, 0), (9, 1), (1, 2), (7, 9)], chunksize=2, order="longest", cost=max)
        go_on(path)
        items, times = zip(*one.get(LIMIT_S), strict=True)
        assert items == (3, 9, 1, 7, 9, 5)
        assert [items[at] for at in sorted(range(6), key=times.__getitem__)] == [9, 9, 7, 5, 3, 1]
        items, times = zip(*two.get(LIMIT_S), strict=True)
        assert items == (3, 9, 1, 7)
        # Chunks by what their items cost together: 3 and 9, 2 and 9.
        assert sorted(times) == list(times)
        many = list(range(5000))
        assert pool.map(abs, iter(many), order="longest", cost=lambda n: n % 97) == many
    pool.join()


def drawn(item):
    task = procession.current_task()
    if item == 6:
        raise ValueError(item)
    return item, task.index, task.random.random()


def test_places_seeds_failures_and_journals_are_those_of_the_items_whatever_goes_first(context, tmp_path):
    """Options of one call that each tell the engine something keep what the others told it."""
    items, journal = [3, 9, 1, 6, 9, 5], tmp_path / "journal"
    with context.Pool(2, resources={"card": 1}) as pool:
        usual = pool.map(drawn, items, seed=7, on_error="skip")
        assert [index for _, index, _ in usual] == [0, 1, 2, 4, 5]
        for wanted in ({}, {"resume": journal}, {"resume": journal}):
            wanted |= {"priority": 5, "resources": {"card": 1}, "on_error": "return", "first_error": "time"}
            results = pool.map(drawn, items, seed=7, order="longest", cost=float, **wanted)
            failed = results.pop(3)
            assert (failed.index, failed.item) == (3, 6) and isinstance(failed.exception, ValueError)
            assert results == usual
    pool.join()


def both(item, *others):
    return item, time.monotonic_ns()


def work_on(card, path):
    """Die on the first try of some; else return what was held, and from when until when."""
    if card % 5 == 0 and not os.path.exists(f"{path}/{card}"):
        open(f"{path}/{card}", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    begun = time.monotonic_ns()
    time.sleep(0.01)
    task = procession.current_task()
    return task.resources, os.environ["CARDS"], begun, time.monotonic_ns()


def plain(_):
    return procession.current_task().resources, os.environ["CARDS"]


def test_never_more_is_held_than_there_is_while_workers_are_killed(context, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDS", "card-a, card-b,card-c")
    path = str(tmp_path)
    with context.Pool(4, resources={"card": 2, "seat": 3}, resource_env={"card": "CARDS"}) as pool:
        results = [
            pool.starmap_async(work_on, [(n, path) for n in range(20)], chunksize=2, retries=1, resources={"card": 1}),
            pool.starmap_async(
                work_on, [(n, path) for n in range(20, 30)], retries=1, resources={"card": 2, "seat": 1}
            ),
        ]
        others = pool.map_async(plain, range(40), chunksize=1)
        spans: dict = {}
        for outcomes, cards, seats in zip((one.get(LIMIT_S) for one in results), (1, 2), (0, 1), strict=True):
            for resources, shown, begun, ended in outcomes:
                assert len(resources["card"]) == cards and len(resources.get("seat", ())) == seats
                assert shown == ",".join(("card-a", "card-b")[number] for number in resources["card"])
                for kind, numbers in resources.items():
                    for number in numbers:
                        spans.setdefault((kind, number), []).append((begun, ended))
        assert {key for key in spans if key[0] == "card"} == {("card", 0), ("card", 1)}
        for key, times in spans.items():
            times.sort()
            assert all(before[1] <= after[0] for before, after in zip(times, times[1:], strict=False)), key
        assert others.get(LIMIT_S) == [({}, "")] * 40
    pool.join()


def test_executors_take_the_options_too():
    with ProcessPoolExecutor(2, resources={"card": 1}, resource_env={"card": "CARDS"}) as executor:
        future = executor.schedule(plain, (1,), priority=3, resources={"card": 1})
        assert future.result(LIMIT_S) == ({"card": (0,)}, "0")


def test_what_makes_no_sense_is_refused_where_it_is_given(monkeypatch):
    with procession.get_context("fork").Pool(1, resources={"card": 2}) as pool:
        for wrong, kind, says in (
            ({"priority": 101}, ValueError, "-100 to 100"),
            ({"priority": "high"}, TypeError, "integer"),
            ({"resources": {"card": 3}}, ValueError, "the pool has 2"),
            ({"resources": {"seat": 1}}, ValueError, "the pool has 0"),
            ({"resources": "card"}, TypeError, "mapping"),
            ({"order": "longest"}, TypeError, "needs cost="),
            ({"order": "shortest", "cost": abs}, ValueError, "'longest'"),
            ({"cost": abs}, TypeError, "give both"),
            ({"order": "longest", "cost": lambda n: float("nan")}, ValueError, "nan"),
            ({"order": "longest", "cost": str}, TypeError, "must give a number"),
        ):
            with pytest.raises(kind, match=says):
                pool.map(abs, [1, 2], **wrong)
        with pytest.raises(ValueError, match="use map"):
            pool.imap(abs, [1], order="longest", cost=abs)
        assert pool.map(abs, [-1], resources={"card": 0}, order=None) == [1]
    pool.join()
    for wrong, kind in (
        ({"resources": ["card"]}, TypeError),
        ({"resources": {"card": -1}}, ValueError),
        ({"resource_env": {"card": "CARDS"}}, TypeError),
        ({"resources": {"card": 1}, "resource_env": {"seat": "CARDS"}}, ValueError),
    ):
        with pytest.raises(kind):
            Pool(1, **wrong)
    monkeypatch.setenv("CARDS", "a")
    with pytest.raises(ValueError, match="CARDS=a names 1"):
        Pool(1, resources={"card": 2}, resource_env={"card": "CARDS"})
    with ThreadPool(1) as pool, pytest.raises(NotImplementedError, match="priority"):
        pool.map(abs, [1], priority=1)
