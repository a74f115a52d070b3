"""Values whose classes say how they are pickled: as items and as results they arrive as pickle would make them."""

import array
import collections
import copy
import copyreg
import dataclasses
import enum
import fractions
import ipaddress
import itertools
import os
import pathlib
import pickle
import re
import signal
import types
import zoneinfo

import numpy
import procession
import pytest
from procession import _procession as engine


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


class Shouting(dict):
    """Is made of its entries by its own method, and does not count them."""

    def __len__(self):
        raise ZeroDivisionError("nobody is to ask")

    def __setitem__(self, key, value):
        super().__setitem__(key, value if isinstance(value, tuple) else (value,))


class Backwards(dict):
    """Says of its entries what they are not."""

    def items(self):
        return reversed(list(super().items()))


class Attributes(dict):
    """Finds its entries as attributes, too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Numbered(dict):
    """Says itself what it has for attributes."""

    @property
    def __dict__(self):
        return len(self)


class Half(list):
    """Shows every second item."""

    def __iter__(self):
        return iter([self[place] for place in range(0, len(self), 2)])


class NamedWords(dict):
    __slots__ = ("name",)

    def __eq__(self, other):
        return dict(self) == dict(other) and getattr(self, "name", None) == getattr(other, "name", None)


@dataclasses.dataclass(slots=True, weakref_slot=True)
class More(Slotted):
    third: object = 3


class Guarded:
    """Has slots that it is given by its own method, one of them private, and one that is never set."""

    __slots__ = ("__own", "never", "part")

    def __init__(self, part):
        self.part, self.__own = part, [part]

    def __setattr__(self, name, value):
        super().__setattr__(name, value)

    def __eq__(self, other):
        return (self.part, self.__own) == (other.part, other.__own) and not hasattr(other, "never")


class Computing:
    """Answers for its slots by its own method."""

    __slots__ = ("part",)

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        return [found] if name == "part" else found

    def __eq__(self, other):
        return self.part == other.part


def with_attributes(value, **attributes):
    vars(value).update(attributes)
    return value


def named_words(name=None, **entries):
    words = NamedWords(entries)
    if name is not None:
        words.name = name
    return words


def other_entries():
    """Stands for the method of a dict of which an object says itself what it has."""
    return iter([("b", 2)])


def computing(part):
    value = Computing()
    value.part = part
    return value


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
    Words(),
    Words((str(number), [number]) for number in range(20)),
    [Words(a=1), Words(b={1})],
    with_attributes(Words(a=1), extra=[1]),
    Attributes(a=1, b=[2]),
    named_words(a=1),
    named_words("name", a=[1]),
    More(1, [2]),
    Guarded([1]),
    Tagged([1, [2]], "tag"),
    Tagged(),
    Tagged(range(30)),
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
    re.compile("a[bc]+", re.IGNORECASE),
    [re.compile("a"), re.compile(b"b"), re.compile("a")],
    fractions.Fraction(1, 3),
    ipaddress.ip_address("10.0.0.1"),
    types.SimpleNamespace(a=1, b=[2]),
    Slotted,
    len,
    numpy.array(3.5),
    numpy.datetime64(3, "s"),
    collections.OrderedDict((str(number), [number]) for number in range(20)),
    array.array("d", range(10)),
    array.array("u", "text"),
    numpy.array(["a", "longer text"]),
    numpy.array([b"a", b"bc"]),
    numpy.array([1, "a", None, [1.5]] * 10, dtype=object),
    numpy.array(range(2000), dtype=object),
    numpy.arange(5).astype("M8[s]"),
    numpy.arange(5).astype("m8[D]").reshape(1, 5),
    numpy.array([(1, "a"), (2, "b")], dtype=[("x", "f8"), ("name", "U4")]),
    numpy.array([(1, 2)], dtype=[("x", ">f8"), ("n", "i4")]),
    numpy.arange(600, dtype=">i8"),
    numpy.asfortranarray(numpy.array([["a", "b"], ["c", "d"]])),
    numpy.arange(24).reshape(2, 3, 4).transpose(1, 0, 2).astype("U3", order="K"),
    numpy.array(["a", "b", "c"])[::2],
    numpy.array("one"),
    numpy.empty((0, 3), dtype="U2"),
    numpy.ma.masked_array([1.0, 2.0], [True, False]),
    numpy.ma.masked_array(["a", "b"], [False, True], fill_value="x"),
    [numpy.array("a"), numpy.array("b")],
    numpy.dtype("f8"),
    numpy.dtype("M8[s]"),
    numpy.dtype([("x", "f8")]),
]


# What makes objects that are not what they were once they have been pickled, and what is in such an object.
CHANGING = [
    (lambda: Shouting(a=1, b=[2]), lambda value: list(dict.items(value))),
    (lambda: Backwards(a=1, b=[2]), lambda value: list(dict.items(value))),
    (lambda: with_attributes(Words(a=1), items=other_entries), lambda value: list(dict.items(value))),
    (lambda: Numbered(a=1, b=[2]), lambda value: list(dict.items(value))),
    (lambda: Half([1, 2, 3, 4, 5, 6]), lambda value: [value[place] for place in range(len(value))]),
    (lambda: computing([1]), lambda value: object.__getattribute__(value, "part")),
]


RECORDS = numpy.dtype([("x", "f8"), ("n", "i4")])
NESTED = numpy.dtype([("in", [("x", "f8"), ("n", "i4")]), ("more", "i4")])


def fresh(index):
    return copy.deepcopy(VALUES[index % len(VALUES)])


def changing(index):
    return CHANGING[index % len(CHANGING)][0]()


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
    if isinstance(expected, (dict, list)):
        assert getattr(found, "__dict__", None) == getattr(expected, "__dict__", None)
    if isinstance(expected, collections.deque):
        assert found.maxlen == expected.maxlen
    if isinstance(expected, numpy.ma.MaskedArray):
        assert found.mask.tolist() == expected.mask.tolist()
        assert found.fill_value == expected.fill_value
    if isinstance(expected, numpy.ndarray):
        assert (found.dtype, found.shape, found.flags.writeable) == (expected.dtype, expected.shape, True)
        assert expected.size == 0 or found.strides == expected.copy("K").strides
        found, expected = found.tolist(), expected.tolist()
    assert found == expected


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


def test_objects_that_pickling_changes_are_changed_as_it_does(context):
    makers, readers = zip(*CHANGING, strict=True)
    made = [make() for make in makers] * 4
    once = [pickle.loads(pickle.dumps(value)) for value in made]
    twice = [pickle.loads(pickle.dumps(value)) for value in once]
    with context.Pool(2) as pool:
        for name, run in METHODS.items():
            for expected, results in (
                (once, run(pool, changing, range(len(made)))),
                (twice, run(pool, same, made)),
            ):
                for read, one, other in zip(itertools.cycle(readers), results, expected, strict=False):
                    assert (type(one), read(one)) == (type(other), read(other)), name
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


@pytest.mark.parametrize("alone", [False, True])
def test_a_type_of_records_that_is_given_other_names_arrives_as_it_was_then(context, alone):
    with context.Pool(1) as pool:
        found = pool.map(with_other_names, [(index, alone) for index in range(20)], 20)
        found = [getattr(one, "dtype", one) for one in found]
        assert [one.names for one in found] == [(f"x{index // 2}", "n") for index in range(20)]
        assert all((one is other) == (index % 2 == 0) for index, (one, other) in enumerate(itertools.pairwise(found)))
        outer = pool.map(with_other_names_within, range(20), 20)
        assert [one.dtype["in"].names for one in outer] == [(f"x{index // 2}", "n") for index in range(20)]
    pool.join()


def with_other_names(pair):
    index, alone = pair
    if index % 2 == 0:
        RECORDS.names = (f"x{index // 2}", "n")
    return RECORDS if alone else numpy.zeros(2, RECORDS)


def with_other_names_within(index):
    NESTED["in"].names = (f"x{index // 2}", "n")
    return numpy.zeros(2, NESTED)


def registering(index):
    if index == 30:
        procession.reduction.ForkingPickler.register(Reduced, lambda reduced: (Reduced, (1,)))
    return Reduced(0)


class Later:
    def __init__(self, part):
        self.part = part


class Registering:
    """Registers how others are reduced when it is itself, or when what it is reduced to is run through."""

    def __init__(self, lazily):
        self.lazily = lazily

    def __reduce__(self):
        if self.lazily:
            return list, (), None, registered_then([])
        return tuple, (tuple(registered_then([])),)


def registered_then(items):
    copyreg.pickle(Later, reduced_later)
    yield from items


def reduced_later(later):
    return Later, ("registered",)


def parts_of(value):
    return [getattr(one, "part", "between") for one in value]


def part_of(one):
    return getattr(one, "part", "between")


def with_registering(lazily):
    return [*(Later("own") for _ in range(3)), Registering(lazily), *(Later("own") for _ in range(3))]


@pytest.mark.parametrize("lazily", [False, True])
def test_a_reducer_that_is_registered_within_a_pickle_counts_from_then_on(lazily):
    def pickled(dumps):
        copyreg.dispatch_table.pop(Later, None)
        return parts_of(pickle.loads(dumps(with_registering(lazily))))

    expected = ["own"] * 3 + ["between"] + ["registered"] * 3
    try:
        assert pickled(pickle.dumps) == expected
        for _ in range(2):
            assert pickled(engine.dumps) == expected
        copyreg.dispatch_table.pop(Later, None)
        with procession.get_context("fork").Pool(1) as pool:
            assert parts_of(pool.apply(with_registering, (lazily,))) == expected
            assert pool.apply(parts_of, (with_registering(lazily),)) == expected
            copyreg.dispatch_table.pop(Later, None)
            # As items of one pickle.
            assert pool.map(part_of, with_registering(lazily), 7) == expected
        pool.join()
    finally:
        copyreg.dispatch_table.pop(Later, None)
