"""`seed=`: random numbers that depend on the place of a task, and not on who runs it, when, or how often."""

import random

import numpy
import procession
import pytest
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool, ThreadPool

from tests.tasks import seeded

LIMIT_S = 60
SEED = 2024


def children(count, *key):
    return numpy.random.SeedSequence(SEED, spawn_key=key).spawn(count)


def expected(count, *key):
    """What `seeded.draw` gives for each place, by numpy's and Python's own words."""
    texts = [f"{SEED}/{'/'.join(map(str, (*key, place)))}" for place in range(count)]
    return [
        (int(numpy.random.default_rng(child).integers(2**32)), random.Random(text).getrandbits(32), place)
        for place, (child, text) in enumerate(zip(children(count, *key), texts, strict=True))
    ]


def drawn_by(pool, tmp_path, retries=True):
    """Draw by each method: each map has the same numbers."""
    wanted = expected(20)
    for chunksize in (None, 1, 5):
        assert pool.map(seeded.draw, range(20), chunksize, seed=SEED) == wanted
    pairs = [(place, 0) for place in range(20)]
    assert pool.starmap(seeded.draw_two, pairs, seed=numpy.random.SeedSequence(SEED)) == wanted
    assert pool.map_async(seeded.draw, range(20), seed=SEED).get(LIMIT_S) == wanted
    assert pool.starmap_async(seeded.draw_two, pairs, seed=SEED).get(LIMIT_S) == wanted
    for chunksize in (1, 5):
        assert list(pool.imap(seeded.draw, iter(range(20)), chunksize, seed=SEED)) == wanted
        assert sorted(pool.imap_unordered(seeded.draw, range(20), chunksize, seed=SEED)) == sorted(wanted)
    assert pool.apply(seeded.draw, (0,), seed=SEED)[:2] == wanted[0][:2]
    assert pool.apply_async(seeded.draw, (0,), seed=SEED).get(LIMIT_S)[:2] == wanted[0][:2]
    if retries:
        paths = [str(tmp_path / f"{place}{'kill' if retries == 'kill' and place % 2 else ''}") for place in range(6)]
        assert pool.map(seeded.draw_at_second_try, paths, 1, seed=SEED, retries=2, retry_on=OSError) == wanted[:6]
    assert len({first for first, _, _ in pool.map(seeded.draw, range(20))}) == 20  # without a seed


def test_tasks_draw_the_same_numbers_for_each_number_of_workers_and_start_method(context, tmp_path):
    for workers in (1, 2, 7):
        directory = tmp_path / str(workers)
        directory.mkdir()
        with context.Pool(workers) as pool:
            drawn_by(pool, directory, "kill")
            assert pool.map(seeded.draw_in_thread, range(4), seed=SEED) == [first for first, _, _ in expected(4)]
        pool.join()


@pytest.mark.parametrize("crew", ["serial", "threads"])
def test_tasks_draw_the_same_numbers_with_each_crew(crew, tmp_path):
    with Pool(2, crew=crew) as pool:
        drawn_by(pool, tmp_path)
    pool.join()


def test_each_call_of_a_pool_with_a_seed_has_its_own_numbers():
    for crew in ("processes", "threads"):
        with Pool(2, crew=crew, seed=SEED) as pool:
            assert pool.map(seeded.draw, range(3)) == expected(3, 0)
            assert pool.apply(seeded.draw, (0,))[:2] == expected(1, 1)[0][:2]
            assert list(pool.imap(seeded.draw, range(3))) == expected(3, 2)
            assert pool.map(seeded.draw, range(3), seed=SEED) == expected(3)
            assert pool.map(seeded.draw, range(3)) == expected(3, 3)
        pool.join()


def test_each_call_of_an_executor_has_its_number_in_the_order_of_submission():
    with ProcessPoolExecutor(2, seed=SEED) as executor:
        futures = [executor.submit(seeded.draw, 0) for _ in range(20)]
        scheduled = executor.schedule(seeded.draw, (0,)), executor.schedule(seeded.draw, (0,), seed=SEED)
        for number, future in enumerate([*futures, scheduled[0]]):
            assert future.result(LIMIT_S)[:2] == expected(1, number)[0][:2]
        assert scheduled[1].result(LIMIT_S)[:2] == expected(1)[0][:2]


def test_global_generators_are_seeded_where_that_is_asked_for(context):
    numbers = []
    for child, place in zip(children(10), range(10), strict=True):
        state = numpy.random.RandomState(child.generate_state(4))
        numbers.append((random.Random(f"{SEED}/{place}").getrandbits(32), int(state.randint(2**31))))
    with context.Pool(2) as pool:
        assert pool.map(seeded.draw_globally, range(10), seed=SEED, seed_globals=True) == numbers
        found = pool.map(seeded.draw_globally, range(10), 1, seed=SEED)
        assert found != numbers and len(set(found)) == 10
        with pytest.raises(ValueError, match="needs a seed"):
            pool.map(seeded.draw_globally, range(10), seed_globals=True)
    pool.join()
    with Pool(1, crew="serial") as pool:
        before = random.getstate(), numpy.random.get_state()[1].tolist()
        assert pool.map(seeded.draw_globally, range(10), seed=SEED, seed_globals=True) == numbers
        assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before
    with ThreadPool(1) as pool, pytest.raises(NotImplementedError, match="seed_globals"):
        pool.map(seeded.draw_globally, range(3), seed=1, seed_globals=True)
    pool.join()


def test_what_is_no_seed_is_refused_at_the_call():
    with Pool(1, crew="serial") as pool:
        for wrong, error in (("x", TypeError), (1.5, TypeError), ([1, "x"], TypeError), (-1, ValueError)):
            with pytest.raises(error, match="seed"):
                pool.map(seeded.draw, [1], seed=wrong)
            with pytest.raises(error, match="seed"):
                Pool(1, crew="serial", seed=wrong)
        with pytest.raises(TypeError, match="seed_globals"):
            pool.map(seeded.draw, [1], seed=1, seed_globals=3)
        with pytest.raises(ValueError, match="pool_size"):
            pool.map(seeded.draw, [1], seed=numpy.random.SeedSequence(1, pool_size=8))
        several = pool.map(seeded.draw, [1], seed=[1, 2])[0][0]
        assert several == numpy.random.default_rng(numpy.random.SeedSequence([1, 2]).spawn(1)[0]).integers(2**32)
    quiet = procession.current_task()
    assert quiet.rng is quiet.rng and quiet.random is quiet.random and not quiet


def test_a_crew_that_cannot_seed_its_tasks_refuses_to(monkeypatch):
    from procession._pool.threads import Threads

    monkeypatch.setattr(Threads, "offers", Threads.offers - {"seed"})
    with ThreadPool(1) as pool:
        with pytest.raises(NotImplementedError, match="no seed"):
            pool.map(seeded.draw, range(2), seed=1)
        assert pool.map(abs, [-1], seed=None) == [1]
    pool.join()
