"""Items and results nest as deeply as they like, wherever they stand in others that share objects."""

import numpy
import procession
import pytest

WORKERS = 2
ITEMS = 40
CHUNK = 10
DEPTHS = (0, 1, 2, 3, 7)
INNERMOST = {
    "a list": lambda: [1, [2]],
    "a dict": lambda: {"one": {"two": 2}},
    "a tuple": lambda: (1, (2,)),
    "a tuple with a list": lambda: (1, ([2],)),
    "a tuple with a large text": lambda: (1, ("two" * 10_000,)),
    "a bytearray": lambda: bytearray(b"one"),
    "a set": lambda: ({1, 2}, {3}),
    "numbers": lambda: (numpy.float64(1.5), bytearray(20_000)),
}
OUTER = {
    "lists": lambda inner: [inner],
    "dicts": lambda inner: {"inner": inner},
    "tuples": lambda inner: (inner, "more"),
    "instances": lambda inner: Instance(inner),
}


class Instance:
    def __init__(self, inner):
        self.inner = inner

    def __eq__(self, other):
        return self.inner == other.inner


class Settings(Instance):
    """Large enough to be pickled once for all items that have it."""

    def __init__(self):
        super().__init__([str(number) for number in range(3000)])


def nested(outer, innermost, depth):
    value = INNERMOST[innermost]()
    for _ in range(depth):
        value = OUTER[outer](value)
    return value


kept = {}


def give(names):
    return kept.setdefault(names, nested(*names))


def give_deeper(names):
    """Return an object that comes again at another depth, after a change from time to time."""
    outer, innermost, number = names
    value = kept.setdefault((outer, innermost), [nested(outer, innermost, 1), bytearray(10)])
    value[1][0] = number // 3
    for _ in range(number % 5):
        value = OUTER[outer](value)
    return value


def deeper(names):
    outer, innermost, number = names
    value = [nested(outer, innermost, 1), bytearray([number // 3, *[0] * 9])]
    for _ in range(number % 5):
        value = OUTER[outer](value)
    return value


def second(item):
    return item[1]


def nested_of(names):
    return nested(*names)


@pytest.mark.parametrize("outer", OUTER)
def test_results_nest_as_deeply_as_they_like(pool, outer):
    for innermost in INNERMOST:
        for depth in DEPTHS:
            names = (outer, innermost, depth)
            assert pool.map(give, [names] * ITEMS, chunksize=CHUNK) == [nested(*names)] * ITEMS
            assert pool.map(nested_of, [names] * ITEMS) == [nested(*names)] * ITEMS


@pytest.mark.parametrize("outer", OUTER)
def test_an_object_comes_again_at_any_depth(pool, outer):
    for innermost in INNERMOST:
        items = [(outer, innermost, number) for number in range(ITEMS)]
        assert pool.map(give_deeper, items, chunksize=ITEMS) == list(map(deeper, items))


@pytest.mark.parametrize("outer", [name for name in OUTER if name != "instances"])
def test_what_stands_beside_an_object_that_items_have_in_common_nests_as_deeply_as_it_likes(pool, outer):
    settings = Settings()
    for innermost in INNERMOST:
        for depth in DEPTHS:
            value = nested(outer, innermost, depth)
            for size in (None, CHUNK):
                assert pool.map(second, [(settings, value)] * ITEMS, chunksize=size) == [value] * ITEMS


# A worker that is a copy of its parent, and one that is not.
@pytest.fixture(params=["fork", "spawn"], scope="module")
def pool(request):
    with procession.get_context(request.param).Pool(WORKERS) as pool:
        yield pool
    pool.join()
