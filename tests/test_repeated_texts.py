"""Texts and bytes that items and results repeat: what stands in a row is sent once, and each is where it belongs."""

import itertools

import procession
import pytest

LONG, OTHER, BYTES, LARGE = "x" * 1000, "y" * 100, b"z" * 300, "w" * 20_000
ROW = [*[LONG] * 50, *[OTHER, LONG] * 20, "short", *[BYTES] * 30, None, *[BYTES] * 3, *[LARGE] * 3, *[OTHER] * 40, 7]
KNOWN = {index: item for index, item in enumerate(ROW)}


def same(item):
    return item


def whole(*parts):
    return "".join(parts)


def from_here(index):
    return KNOWN[index]


def weak(item):
    if item is OTHER or item == OTHER:
        raise ValueError(item)
    return item


@pytest.fixture
def pool():
    with procession.get_context("fork").Pool(2) as pool:
        yield pool


@pytest.mark.parametrize("chunksize", [None, 1, 7, 1000])
def test_items_and_results_in_a_row_arrive_each_time(pool, chunksize):
    assert pool.map(same, ROW * 20, chunksize) == ROW * 20
    assert pool.map(from_here, range(len(ROW)), chunksize) == ROW
    assert pool.starmap(whole, [LONG[:70]] * 50, chunksize) == [LONG[:70]] * 50
    assert list(pool.imap(same, ROW, chunksize or 1)) == ROW
    assert sorted(map(repr, pool.imap_unordered(from_here, range(len(ROW)), chunksize or 1))) == sorted(map(repr, ROW))


def test_a_text_that_comes_again_and_again_is_one_object_for_a_chunk_at_most(pool):
    results = pool.map(from_here, itertools.repeat(0, 10_000))
    assert results == [LONG] * 10_000
    assert len({id(result) for result in results}) < 1000


def test_tasks_that_fail_among_repeated_texts_are_the_ones_that_should(pool):
    failures = 0
    for item, result in zip(ROW, [pool.apply_async(weak, (item,)) for item in ROW], strict=True):
        try:
            assert result.get(60) == item
        except ValueError as error:
            assert error.args == (OTHER,) == (item,)
            failures += 1
    assert failures == ROW.count(OTHER)


NUMBERS = [2**63, -(2**63) - 1, 10**40, -(10**40), 7**9000, -(7**9000)]


def test_large_numbers_come_back_alone_and_in_a_row(pool):
    for number in NUMBERS:
        assert pool.map(same, [number, 1, number, number]) == [number, 1, number, number]
        assert pool.map(same, [(number, [number])] * 3, 2) == [(number, [number])] * 3
        assert pool.apply(same, (number,)) == number
