"""Options of a pool's methods: a new one takes a module and a row, and reaches every method."""

import operator

import procession
import pytest
from procession._pool import further
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool, ThreadPool


@pytest.fixture(autouse=True)
def one_more_option(monkeypatch):
    monkeypatch.setitem(further.OPTIONS, "added", "tests.tasks.further_options")


def outcomes(pool, **options):
    """What each method makes of small items, with its options."""
    got = []
    calls = {"callback": got.append}
    waited = pool.apply_async(abs, (-1,), **calls, **options).get(60)
    return [
        pool.apply(abs, (-1,), **options),
        waited,
        pool.map(abs, [-1, -2], **options),
        pool.map_async(abs, [-1, -2], **calls, **options).get(60),
        pool.starmap(operator.add, [(1, 1)], **options),
        pool.starmap_async(operator.add, [(1, 1)], **options).get(60),
        list(pool.imap(abs, iter([-1, -2]), **options)),
        list(pool.imap_unordered(abs, [-1, -1], **options)),
    ], got


WITH = [[11], [11], [[11, 12]], [[11, 12]], [[12]], [[12]], [[11], [12]], [[11], [11]]]


def test_an_option_reaches_every_method(pool):
    assert outcomes(pool, added=10) == (WITH, [11, [11, 12]])
    assert outcomes(pool)[0][0] == 1


@pytest.mark.parametrize("kind", [ThreadPool, lambda n: Pool(n, crew="serial"), procession.shared_pool])
def test_an_option_reaches_every_method_of_other_pools(kind):
    with kind(2) as pool:
        assert outcomes(pool, added=10)[0] == WITH
    pool.join()
    procession.end_shared_pools()


def test_a_pool_gives_an_option_to_all_of_its_calls_and_a_call_has_its_own():
    with Pool(2, crew="threads", added=10) as pool:
        assert outcomes(pool)[0] == WITH
        assert pool.map(abs, [-1], added=20) == [[21]]
    pool.join()


def test_an_executor_hands_options_on():
    with ProcessPoolExecutor(2) as executor:
        assert executor.schedule(abs, (-1,), added=10).result(60) == 11  # which comes by a callback


def test_what_is_no_option_or_makes_no_sense_is_refused_at_the_call():
    with Pool(1, crew="serial") as pool:
        with pytest.raises(TypeError, match=r"map\(\) got an unexpected keyword argument 'adde'"):
            pool.map(abs, [1], adde=1)
        with pytest.raises(TypeError, match="added must be an integer, not 'x'"):
            pool.imap(abs, [1], added="x")
        with pytest.raises(ZeroDivisionError):
            pool.apply(operator.truediv, (1, 0), added=1)
    pool.join()
    with pytest.raises(TypeError, match=r"Pool\(\) got an unexpected keyword argument 'adde'"):
        Pool(1, adde=1)
    with pytest.raises(TypeError, match="added must be an integer"):
        Pool(1, added="x")
