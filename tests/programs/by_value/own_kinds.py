"""What classes of unusual kinds are after a way through a pool and a queue; prints what is not as it was.

The argument is the start method.
"""

import ctypes
import enum
import multiprocessing.reduction  # noqa: F401  # it registers how to pickle methods
import sys
import traceback
import typing

import procession


def same(obj):
    return obj


def call(function):
    return function()


def pass_on(arriving, leaving):
    while (function := arriving.get()) is not None:
        leaving.put(function())


def cases():
    """Return functions and methods, by names, and what they return."""

    class Coordinate(bytes, enum.Enum):
        def __new__(cls, value, label):
            member = bytes.__new__(cls, [value])
            member._value_, member.label = value, label
            return member

        X = (1, "one")
        Y = (2, "two")

    class Planet(enum.Enum):
        EARTH = (6, 2)
        MARS = (8, 4)
        TERRA = (6, 2)

        def __init__(self, mass, radius):
            self.mass, self.radius = mass, radius

        @property
        def density(self):
            return self.mass / self.radius

    class Right(enum.IntFlag):
        READ = 1
        WRITE = 2
        ALL = 3

    class Sentinel(enum.Enum):
        MISSING = object()
        CALLED = enum.member(len) if hasattr(enum, "member") else len

    def members():
        return (
            Coordinate.Y.label, bytes(Coordinate.Y), Coordinate(2) is Coordinate.Y, Planet.MARS.density,
            Planet.TERRA is Planet.EARTH, list(Planet.__members__), Planet((8, 4)) is Planet.MARS, Right.ALL,
            list(Right.__members__), Right["ALL"] == Right.READ | Right.WRITE, Sentinel["MISSING"] is Sentinel.MISSING,
            len(Sentinel),
        )  # fmt: skip

    class Plugin:
        names: typing.ClassVar[list] = []

        def __init_subclass__(cls, /, tag, **options):
            super().__init_subclass__(**options)
            cls.tag = tag
            Plugin.names.append(tag)

    class First(Plugin, tag="first"):
        pass

    class Second(First, tag="second"):
        pass

    class Registering(type):
        made: typing.ClassVar[list] = []

        def __new__(cls, name, bases, contents, *, number):
            return super().__new__(cls, name, bases, contents)

        def __init__(cls, name, bases, contents, *, number):
            super().__init__(name, bases, contents)
            cls.number = number
            Registering.made.append(name)

    class Registered(metaclass=Registering, number=4):
        pass

    def subclasses():
        class Third(Second, tag="third"):
            pass

        tags = list(Plugin.names)
        Plugin.names.remove("third")
        return First.tag, Second.tag, tags

    def registered():
        return Registered.number, Registering.made, type(Registered) is Registering

    class Point(ctypes.Structure):
        _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]

        def sum(self):
            return self.x + self.y

    class Line(ctypes.BigEndianStructure):
        _fields_ = [("a", ctypes.c_uint16, 4), ("b", ctypes.c_uint16, 12), ("c", ctypes.c_ubyte * 3)]
        _pack_ = 1

    class Either(ctypes.Union):
        _fields_ = [("point", Point), ("pointer", ctypes.POINTER(Point))]

    line = Line(1, 2, (3, 4, 5))

    def structures():
        return bytes(line), line.b, list(line.c), ctypes.sizeof(Either), Either(Point(1, 2.0)).point.sum()

    class Methods:
        value = 3
        mine: typing.ClassVar[list] = []
        of_lambda = lambda self: self.value  # noqa: E731

        @classmethod
        def of_class(cls):
            return cls.value

        def __private(self):
            return self.value + 1

        def private(self):
            return self.__private

        def listed(self):
            return [method() for method in self.mine]

    Methods.mine.append(Methods.of_class)

    class Fields:
        width: int = 1
        height: int = 2
        depth = 3

        def area(self):
            pass

        class Unit:
            pass

    def described():
        """What programs read off classes and functions, and where the lines of an error are."""
        try:
            [1, 2].index(3)
        except ValueError as error:
            (place,) = traceback.extract_tb(error.__traceback__)
        names = [name for name in vars(Fields) if not name.startswith("_")]
        return repr(Fields), repr(Fields.Unit), names, (lambda: 1).__code__.co_filename, tuple(place), place.line

    return {
        "members": (members, members()), "density": (lambda: Planet.EARTH.density, 3.0),
        "subclasses": (subclasses, subclasses()), "metaclass": (registered, registered()),
        "structures": (structures, structures()), "structure": (Point(1, 2.0).sum, 3.0),
        "lambda": (Methods().of_lambda, 3), "private": (Methods().private(), 4), "own methods": (Methods().listed, [3]),
        "described": (described, described()),
    }  # fmt: skip


class Guarded:
    def __private(self):
        return 5

    def private(self):
        return self.__private


if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    pool = context.Pool(1)
    pool.apply(same, (1,))
    Number = typing.TypeVar("Number", bound=int)
    Parameters = typing.ParamSpec("Parameters")
    Several = typing.TypeVarTuple("Several")
    Name = typing.NewType("Name", str)

    class Box(typing.Generic[Number]):
        name: Name

    names = [Number, Parameters, Several, Name, Box[Number], typing.Callable[Parameters, Name]]
    calls = cases()
    calls["private method of all"] = Guarded().private(), 5
    calls["annotations"] = lambda: Box.__annotations__["name"]("n"), "n"
    arriving, leaving = context.Queue(), context.SimpleQueue()
    child = context.Process(target=pass_on, args=(arriving, leaving))
    child.start()
    for name, (function, wanted) in calls.items():
        arriving.put(function)
        got = [pool.apply(function), pool.apply(call, (function,)), *pool.map(call, [function] * 2), leaving.get()]
        if got != [wanted] * 5:
            print(name, got, wanted)
    arriving.put(None)
    child.join()
    if pool.apply(same, (names,)) != names:
        print("names", pool.apply(same, (names,)))
    pool.terminate()
    print("done")
