"""Values whose classes say how they are pickled: as items and as results they arrive as pickle would make them."""

import collections
import copy
import dataclasses
import enum
import itertools
import os
import pathlib
import signal
import types
import zoneinfo

import numpy
import procession
import pytest


@dataclasses.dataclass(slots=True)
class Slotted:
    one: object
    other: object = None


class Base:
    __slots__ = ("one",)


class Mixed(Base):
    def __init__(self, one, other):
        self.one, self.other = one, other

    def __eq__(self, other):
        return (self.one, self.other) == (other.one, other.other)


class Reduced:
    def __init__(self, part):
        self.part = part

    def __reduce__(self):
        return Reduced, (self.part,)

    def __eq__(self, other):
        return self.part == other.part


class Stateful:
    def __init__(self, part):
        self.part = part

    def __getstate__(self):
        return [self.part]

    def __setstate__(self, state):
        (self.part,) = state

    def __eq__(self, other):
        return self.part == other.part


class Words(dict):
    pass


class Tagged(list):
    def __init__(self, items=(), tag=None):
        super().__init__(items)
        self.tag = tag

    def __eq__(self, other):
        return list(self) == list(other) and self.tag == other.tag


class Color(enum.Enum):
    RED = 1
    GREEN = [2]


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Counted:
    """Says how often it was reduced, in what it is reduced to; pickled whole where `whole`."""

    def __init__(self, part, whole):
        self.part, self.whole, self.times = part, whole, 0

    def __reduce__(self):
        self.times += 1
        return (remade if self.whole else Remade), (self.times, self.part)


class Remade:
    def __init__(self, times, part):
        self.times, self.part = times, part


def remade(times, part):
    return Remade(times, part)


remade.__qualname__ = "somewhere.else"  # what has no such name is no class and no function that others find


class Failing:
    def __reduce_ex__(self, protocol):
        return Words, (), None, None, Pairs()


class Pairs:
    """Breaks off in the middle."""

    def __length_hint__(self):
        return 2

    def __iter__(self):
        return self

    def __next__(self):
        raise ZeroDivisionError("half way")


VALUES = [
    ...,
    NotImplemented,
    {1, 2},
    {3, (4, "text")},
    set(range(40)),
    frozenset({(1, frozenset({2}))}),
    1 << 64,
    -(1 << 63) - 1,
    -(1 << 200),
    1 << 70_000,
    Slotted(1, [2, 3]),
    Slotted({1, 2}, {"a": Slotted(1)}),
    Slotted([[[[Slotted(1)]]]]),
    Mixed(1, [2]),
    Reduced([1, 2]),
    Reduced(Slotted(Reduced(Slotted(Reduced(Slotted(1)))))),
    Stateful({1: 2}),
    [Reduced(1), Stateful(2)],
    Words(a=1, b=[2]),
    Tagged([1, [2]], "tag"),
    collections.OrderedDict(b=1, a=[2]),
    collections.Counter("abca"),
    collections.defaultdict(list, {"a": [1]}),
    collections.deque([1, [2]], 5),
    collections.deque(range(30)),
    collections.ChainMap({1: 2}, {3: 4}),
    Color.RED,
    [Color.GREEN, Color.RED],
    Level.LOW,
    Rights.READ | Rights.WRITE,
    Rights(0),
    pathlib.PurePosixPath("/a/b"),
    range(3),
    slice(1, 2),
    zoneinfo.ZoneInfo("UTC"),
    types.SimpleNamespace(a=1, b=[2]),
    Slotted,
    len,
    numpy.array(3.5),
    numpy.datetime64(3, "s"),
]


def fresh(index):
    return copy.deepcopy(VALUES[index % len(VALUES)])


def kept(index):
    return VALUES[index % len(VALUES)]


def twice(index):
    value = fresh(index)
    return value, [value]


def same(value):
    return value


def counted(index):
    return Counted([index], index % 2 == 1)


def failing_or_index(index):
    return Failing() if index == 3 else index


def deadly(index):
    if index == 25:
        os.kill(os.getpid(), signal.SIGKILL)
    return Slotted(index, {index})


def assert_alike(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, collections.defaultdict):
        assert found.default_factory is expected.default_factory
    if isinstance(expected, collections.deque):
        assert found.maxlen == expected.maxlen
    assert numpy.array_equal(found, expected) if isinstance(expected, numpy.ndarray) else found == expected


METHODS = {
    "map": lambda pool, function, items: pool.map(function, items),
    "map of chunks": lambda pool, function, items: pool.map(function, items, 20),
    "map of single items": lambda pool, function, items: pool.map(function, items, 1),
    "imap": lambda pool, function, items: list(pool.imap(function, items)),
    "imap of chunks": lambda pool, function, items: list(pool.imap(function, items, 20)),
    "apply_async": lambda pool, function, items: [
        result.get() for result in [pool.apply_async(function, (item,)) for item in items]
    ],
}


def test_values_arrive_as_they_were_in_both_directions(context):
    count = 2 * len(VALUES)
    with context.Pool(2) as pool:
        for name, run in METHODS.items():
            for function, items in ((fresh, range(count)), (kept, range(count)), (same, VALUES * 2)):
                results = run(pool, function, items)
                assert len(results) == count, name
                for found, expected in zip(results, itertools.cycle(VALUES), strict=False):
                    assert_alike(found, expected)
    pool.join()


def test_what_a_result_has_twice_is_one_object(context):
    with context.Pool(2) as pool:
        for expected, (one, [other]) in zip(VALUES, pool.map(twice, range(len(VALUES))), strict=True):
            assert_alike(one, expected)
            assert one is other or copy.copy(expected) is expected or isinstance(expected, numpy.generic)
    pool.join()


def test_an_object_is_asked_once_how_it_is_reduced(context):
    with context.Pool(2) as pool:
        assert {result.times for result in pool.map(counted, range(200))} == {1}
    pool.join()


def test_a_result_whose_reducer_breaks_off_fails_alone(context):
    with context.Pool(1) as pool:
        results = [pool.apply_async(failing_or_index, (index,)) for index in range(6)]
        lazy = pool.imap(failing_or_index, range(6), 6)
        for index, result in enumerate(results):
            if index == 3:
                with pytest.raises(Exception, match="half way"):
                    result.get(60)
                with pytest.raises(Exception, match="half way"):
                    lazy.next(60)
            else:
                assert result.get(60) == lazy.next(60) == index
    pool.join()


def test_a_killed_worker_takes_its_task_alone_from_small_objects(context):
    with context.Pool(2) as pool:
        results, lost = pool.imap(deadly, range(50), 10), 0
        for index in range(50):
            try:
                assert results.next(60) == Slotted(index, {index})
            except procession.WorkerDied:
                lost += 1
                assert index == 25
        assert lost == 1
    pool.join()


def test_a_class_that_is_registered_while_a_job_runs_is_reduced_so_from_then_on():
    with procession.get_context("fork").Pool(1) as pool:
        parts = [result.part for result in pool.map(registering, range(60), 60)]
        assert parts == [0] * 30 + [1] * 30
    pool.join()


def registering(index):
    if index == 30:
        procession.reduction.ForkingPickler.register(Reduced, lambda reduced: (Reduced, (1,)))
    return Reduced(0)
