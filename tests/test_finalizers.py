"""Finalizers that the garbage collector runs while items are encoded: they may do anything with the very same job."""

import contextlib
import gc

import numpy
import procession
import pytest
from procession import _procession


class Node:
    """Counted by the garbage collector."""


class Garbage:
    """Can only be collected, and asks for the next result then."""

    def __init__(self, results, collected):
        self.me = self
        self.results = results
        self.collected = collected

    def __del__(self):
        # From Python 3.14 on the collector may come to it as late as when all results have been read.
        with contextlib.suppress(procession.TimeoutError, StopIteration):
            self.collected.append(self.results.next(0))
        self.collected.append("end")


class Changing:
    """Can only be collected, and changes a dict then."""

    def __init__(self, changed):
        self.me = self
        self.changed = changed

    def __del__(self):
        self.changed["new"] = 1


class Collecting:
    """Has everything collected while it is encoded, and arrives as a text."""

    def __reduce__(self):
        gc.collect()
        return str, (str(self),)

    def __str__(self):
        return "collecting"


def give(value):
    return value


@pytest.fixture
def eager_collector():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.enable()


@pytest.mark.parametrize("last", [numpy.int64(3), 2**70, (numpy.float32(3), "\ud800"), Collecting()])
@pytest.mark.usefixtures("eager_collector")
def test_a_finalizer_may_use_the_job_whose_items_are_encoded(context, last):
    results = collected = None

    def items():
        yield 1
        yield 2
        gc.disable()
        gc.collect()
        gc.set_threshold(1)
        Garbage(results, collected)
        # So many that the next object, which is not made here, sets the collector off.
        nodes = [Node() for _ in range(10)]
        gc.enable()
        yield last
        del nodes

    with context.Pool(1) as pool:
        collected = []
        results = pool.imap(give, items(), buffersize=1)
        read = list(results)
    pool.join()
    gc.collect()
    assert collected[-1] == "end"
    assert sorted(map(str, read + collected[:-1])) == sorted(map(str, [1, 2, last]))


@pytest.mark.usefixtures("eager_collector")
def test_a_dict_that_a_finalizer_changes_while_it_is_encoded_is_the_one_before_or_after():
    value = {"one": numpy.float32(1), "two": numpy.float32(2), "three": numpy.float32(3)}
    before = dict(value)
    gc.disable()
    gc.collect()
    gc.set_threshold(1)
    Changing(value)
    nodes = [Node() for _ in range(10)]
    gc.enable()
    code = _procession.encode_simple(value)
    del nodes
    assert "new" in value
    assert _procession.try_decoders(code)[0] in (before, value)
