"""Values of the standard library's classes and of a program's own: each function gives its kind's i-th value."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import types
import typing
import uuid
import zoneinfo

from benches.sweep.plain import kind

UTC = datetime.UTC
START = datetime.datetime(2026, 1, 1)


@dataclasses.dataclass
class Point:
    x: float
    y: float
    name: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: int
    y: int


class Plain:
    def __init__(self, number):
        self.number, self.text = number, str(number)

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return f"Plain({self.number})"


class Reduced:
    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return Reduced, (self.number,)

    def __repr__(self):
        return f"Reduced({self.number})"


class Stateful(Plain):
    def __getstate__(self):
        return {"number": self.number}

    def __setstate__(self, state):
        self.__init__(state["number"])


class Words(dict):
    pass


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    BLUE = 3


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Failure(Exception):
    pass


class Told(Exception):
    def __init__(self, number, why):
        super().__init__(number, why)
        self.number, self.why = number, why


class Slots:
    __slots__ = ("number", "text")

    def __init__(self, number):
        self.number, self.text = number, str(number)

    def __repr__(self):
        return f"Slots({self.number}, {self.text!r})"


@dataclasses.dataclass
class Order:
    number: int
    when: datetime.datetime
    price: decimal.Decimal
    state: Color
    lines: list[Point]


Named = collections.namedtuple("Named", "x y name")


class Typed(typing.NamedTuple):
    x: int
    y: float = 0.0


@kind()
def dataclass(i):
    return Point(i, i * 0.5, f"name {i}")


@kind()
def dataclass_with_slots(i):
    return Slotted(i, -i)


@kind()
def dataclass_of_dataclasses(i):
    return Point(Point(i, i), Point(i, -i), "both")


@kind()
def instance(i):
    return Plain(i)


@kind()
def instance_with_reduce(i):
    return Reduced(i)


@kind()
def instance_with_state(i):
    return Stateful(i)


@kind(1000)
def list_of_instances(i):
    return [Plain(i + number) for number in range(10)]


@kind()
def instance_with_slots(i):
    return Slots(i)


@kind(500)
def dataclass_of_everything(i):
    when = START + datetime.timedelta(hours=i)
    return Order(i, when, decimal.Decimal(i) / 4, list(Color)[i % 3], [Point(i, number) for number in range(3)])


@kind(1000)
def dict_of_instances(i):
    return {number: Plain(i + number) for number in range(10)}


@kind()
def subclass_of_dict(i):
    return Words(a=i, b=str(i))


@kind()
def named_tuple(i):
    return Named(i, i * 0.5, "name")


@kind()
def typed_named_tuple(i):
    return Typed(i, i * 0.5)


@kind()
def enum_member(i):
    return list(Color)[i % 3]


@kind()
def int_enum_member(i):
    return list(Level)[i % 2]


@kind()
def text_enum_member(i):
    return list(Word)[i % 2]


@kind()
def flag_member(i):
    return Rights(i % 4)


@kind()
def date_and_time(i):
    return START + datetime.timedelta(seconds=i)


@kind()
def date_and_time_of_zone(i):
    return START.replace(tzinfo=UTC) + datetime.timedelta(seconds=i)


@kind()
def date_and_time_of_place(i):
    return datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")) + datetime.timedelta(hours=i)


@kind()
def time_of_day(i):
    return datetime.time(i % 24, i % 60)


@kind(1000)
def rows_of_a_table(i):
    return [(START, decimal.Decimal(i), f"name {number}", None) for number in range(10)]


@kind()
def date(i):
    return START.date() + datetime.timedelta(days=i % 10_000)


@kind()
def time_span(i):
    return datetime.timedelta(seconds=i)


@kind()
def decimal_number(i):
    return decimal.Decimal(i) / 8


@kind()
def fraction(i):
    return fractions.Fraction(i, 7)


@kind()
def unique_id(i):
    return uuid.UUID(int=i)


@kind()
def path(i):
    return pathlib.PurePosixPath("/data") / f"{i}.csv"


@kind()
def path_of_this_system(i):
    return pathlib.Path("/data") / "in" / f"{i}.csv"


@kind(500)
def list_of_paths(i):
    return [pathlib.Path(f"/data/{i}/{number}.csv") for number in range(10)]


@kind()
def pattern(i):
    return re.compile(f"[a-{'xyz'[i % 3]}]+")


@kind()
def address(i):
    return ipaddress.IPv4Address(i)


@kind()
def exception(i):
    return ValueError(f"number {i}")


@kind()
def own_exception(i):
    return Failure(i, "why")


@kind()
def exception_with_attributes(i):
    return Told(i, f"why {i}")


@kind()
def error_of_the_system(i):
    return FileNotFoundError(2, "No such file", f"{i}.csv")


@kind()
def counter(i):
    return collections.Counter(a=i, b=2)


@kind()
def deque(i):
    return collections.deque([i, i + 1], maxlen=10)


@kind()
def ordered_dict(i):
    return collections.OrderedDict(a=i, b=str(i))


@kind()
def default_dict(i):
    return collections.defaultdict(list, {"a": [i]})


@kind()
def namespace(i):
    return types.SimpleNamespace(number=i, text=str(i))


@kind(800)
def array_of_100(i):
    return array.array("d", range(i, i + 100))


@kind()
def a_class(i):
    return Plain


@kind()
def a_function(i):
    return dataclass
