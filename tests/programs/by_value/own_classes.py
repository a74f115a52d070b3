"""Objects of all kinds of classes that only this program defines, through all that carries objects; prints what fails.

The argument is the start method.
"""

import abc
import collections
import dataclasses
import enum
import functools
import sys
import typing

import procession
from procession.futures import ProcessPoolExecutor
from procession.managers import BaseManager


def same(obj):
    return obj


def names_of_types(objects):
    return {name: type(obj).__name__ for name, obj in objects.items()}


def pass_on(given, arriving, leaving):
    leaving.put((arriving.get(), given))


def answer(given, connection):
    connection.send((connection.recv(), given))


begun_with = None


def begin(value):
    global begun_with
    begun_with = value


def begun():
    return begun_with


class Comparable:
    def __init__(self, value=1):
        self.value = value

    def __eq__(self, other):
        return type(other) is type(self) and other.value == self.value

    __hash__ = None


def local():
    @dataclasses.dataclass
    class Local:
        a: int

        def own(self):
            return Local

    return Local


if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    early = context.Pool(1)
    early.apply(same, (1,))

    class Plain(Comparable):
        def method(self):
            return self.value

        @staticmethod
        def static(x):
            return x

        @classmethod
        def of(cls, x):
            return cls(x)

        @property
        def half(self):
            return self.value / 2

        @functools.cached_property
        def later(self):
            return self.value + 1

        class Inner(Comparable):
            pass

    class Color(enum.Enum):
        RED = 1
        BLUE = (2, 3)
        CRIMSON = 1

    class Right(enum.Flag):
        READ = enum.auto()
        WRITE = enum.auto()

    class Number(enum.IntEnum):
        ONE = 1

    class Planet(enum.Enum):
        EARTH = (5, 6)

        def __init__(self, mass, radius):
            self.mass = mass

    Fruit = enum.Enum("Fruit", "APPLE PEAR")

    @dataclasses.dataclass
    class Data:
        a: int
        b: list = dataclasses.field(default_factory=list)
        c: typing.ClassVar[int] = 3

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Frozen:
        a: int

    Made = dataclasses.make_dataclass("Made", ["a"])
    Row = collections.namedtuple("Row", "a b")

    class Typed(typing.NamedTuple):
        a: int
        b: str = "x"

    class Keys(typing.TypedDict):
        a: int

    class Slots:
        __slots__ = ("a", "__b")

        def __init__(self, a):
            self.a = self.__b = a

        def __eq__(self, other):
            return type(other) is type(self) and (other.a, other.__b) == (self.a, self.__b)

    Item = typing.TypeVar("Item")

    class Box(Comparable, typing.Generic[Item]):
        pass

    class Failure(Exception):
        def __eq__(self, other):
            return type(other) is type(self) and other.args == self.args

    class Meta(type):
        pass

    class OfMeta(Comparable, metaclass=Meta):
        pass

    class Abstract(abc.ABC):
        @abc.abstractmethod
        def act(self): ...

    class Concrete(Comparable, Abstract):
        def act(self):
            return 1

    Assigned = type("Assigned", (Comparable,), {})

    class Text(str):
        pass

    class List(list):
        pass

    class Reduced(Comparable):
        def __reduce__(self):
            return Reduced, (self.value,)

    class Protocol(typing.Protocol):
        def act(self): ...

    class Acting(Comparable, Protocol):
        pass

    Local = local()
    values = {
        "plain": Plain(), "inner": Plain.Inner(), "member": Color.RED, "tuple member": Color.BLUE,
        "alias": Color.CRIMSON, "flags": Right.READ | Right.WRITE, "flag": Right.READ, "number": Number.ONE,
        "planet": Planet.EARTH,
        "fruit": Fruit.PEAR, "data": Data(1), "frozen": Frozen(a=1), "made": Made(2), "row": Row(1, 2),
        "typed": Typed(1), "keys": Keys(a=1), "slots": Slots(3), "box": Box(1), "box of int": Box[int](2),
        "failure": Failure(1),
        "meta": OfMeta(), "concrete": Concrete(), "assigned": Assigned(), "text": Text("a"), "list": List([1]),
        "reduced": Reduced(), "acting": Acting(), "local": Local(1), "class": Data, "enum": Color, "generic": Box,
        "of int": Box[int], "nested": {"k": [Data(1), (Color.RED, Row(1, 2))]}, "partial": functools.partial(Data, 1),
        "bound": Plain().method, "of class": Plain.of, "static": Plain.static, "local class": Local, "module": enum,
    }  # fmt: skip

    def is_same(sent, got):
        if isinstance(sent, functools.partial):
            return sent.func is got.func and sent.args == got.args
        if isinstance(sent, enum.Enum | type):
            return got is sent
        if hasattr(sent, "__func__"):
            return got.__self__ == sent.__self__ and got() == sent() if sent.__name__ == "method" else got(3) == sent(3)
        if hasattr(sent, "__code__"):
            return got(5) == sent(5)
        return type(got) is type(sent) and got == sent

    def check(channel, carry):
        """Say which values a channel does not carry: first all at once, should that fail each alone."""
        try:
            got = carry(values)
            wrong = {name: got[name] for name, value in values.items() if not is_same(value, got[name])}
        except Exception:
            wrong = {}
            for name, value in values.items():
                try:
                    carry({name: value})
                except Exception as error:
                    wrong[name] = error
        if wrong:
            print(channel, wrong)

    def late(objects):
        return objects

    def make(names):
        return {name: values[name] for name in names}

    for when, pool in ("early", early), ("late", context.Pool(1)):
        with pool:
            check(f"{when} apply", lambda objects, pool=pool: pool.apply(same, (objects,)))
            check(f"{when} keyword", lambda objects, pool=pool: pool.apply(same, (), {"obj": objects}))
            check(f"{when} map", lambda objects, pool=pool: pool.map(same, [objects, 1], chunksize=1)[0])
            check(f"{when} chunk", lambda objects, pool=pool: pool.map(same, [1, objects], chunksize=2)[1])
            check(f"{when} imap", lambda objects, pool=pool: next(pool.imap(same, [objects])))
            check(f"{when} late function", lambda objects, pool=pool: pool.apply(late, (objects,)))
            check(f"{when} made there", lambda objects, pool=pool: pool.apply(make, (list(objects),)))
            if pool.apply(names_of_types, (values,)) != names_of_types(values):
                print(when, "types")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        check("executor", lambda objects: executor.submit(same, objects).result())

    def through_queues(kind, objects):
        arriving, leaving = getattr(context, kind)(), getattr(context, kind)()
        child = context.Process(target=pass_on, args=(objects, arriving, leaving))
        child.start()
        arriving.put(objects)
        got, given = leaving.get()
        child.join()
        assert all(is_same(obj, given[name]) for name, obj in objects.items())
        return got

    for kind in "Queue", "SimpleQueue", "JoinableQueue":
        check(kind, functools.partial(through_queues, kind))

    def through_pipe(objects):
        here, there = context.Pipe()
        child = context.Process(target=answer, kwargs={"given": objects, "connection": there})
        child.start()
        there.close()
        here.send(objects)
        got, _ = here.recv()
        child.join()
        return got

    check("pipe", through_pipe)

    class Keeper:
        def keep(self, objects):
            self.objects = objects
            return objects

        def give(self):
            return self.objects

    class Manager(BaseManager):
        pass

    Manager.register("Keeper", Keeper)
    with Manager(ctx=context) as manager, context.Manager() as standard:
        keeper, shared = manager.Keeper(), standard.list()
        check("manager", keeper.keep)
        check("manager gives", lambda objects: keeper.keep(objects) and keeper.give())
        check("shared list", lambda objects: shared.append(objects) or shared[-1])

    def to_initializer(objects):
        with context.Pool(1, begin, (objects,)) as pool:
            return pool.apply(begun)

    check("initargs", to_initializer)
    print("done")
