"""By value travels what a receiver cannot name, and nothing else: all else is pickled, or refuses, as usual."""

import collections
import ctypes
import functools
import io
import logging
import pickle
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import types
import weakref
from pathlib import Path

import procession
import pytest
from procession import reduction

LIMIT_S = 110
PROGRAM = Path(__file__).parent / "programs/by_value/own_classes.py"
KINDS_PROGRAM = Path(__file__).parent / "programs/by_value/own_kinds.py"


def run(*command, given=None, cwd=None):
    result = subprocess.run(
        [sys.executable, *command], input=given, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert result.stderr == ""
    return result.stdout


# A module of a name, and one of none, by each method.
@pytest.mark.parametrize("method, how", [
    ("fork", "script"), ("fork", "stdin"), ("forkserver", "module"), ("forkserver", "command"),
    *(("spawn", how) for how in ("script", "module", "command", "stdin")),
])  # fmt: skip
def test_objects_of_classes_that_children_cannot_import_travel_everywhere_and_come_back(method, how):
    text = PROGRAM.read_text()
    command = {
        "script": [str(PROGRAM), method],
        "module": ["-m", PROGRAM.stem, method],
        "command": ["-c", text, method],
        "stdin": ["-", method],
    }[how]
    assert run(*command, given=text if how == "stdin" else None, cwd=PROGRAM.parent) == "done\n"


@pytest.mark.parametrize("how", ["script", "stdin"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_classes_made_anew_are_what_their_metaclasses_and_members_were(method, how):
    given = KINDS_PROGRAM.read_text() if how == "stdin" else None
    assert run(str(KINDS_PROGRAM) if how == "script" else "-", method, given=given) == "done\n"


STRUCTS = """
import sys
import msgspec, procession

def call(function):
    return function()

if __name__ == "__main__":
    class Base(msgspec.Struct, tag=True, omit_defaults=True):
        number: int
        names: list = []
        size: int = 2

        def doubled(self):
            return self.number * 2

    class Derived(Base, frozen=True, kw_only=True, rename="camel"):
        long_name: int = 1
        required_one: int

        def read(self):
            try:
                msgspec.json.decode(b'{"type": "Derived", "number": 1}', type=Derived)
            except msgspec.ValidationError as error:
                return str(error)

        def written(self):
            return msgspec.json.encode(self), self.doubled(), self, Derived.__struct_config__.frozen

    value = Derived(1, ["a"], required_one=3)
    with procession.get_context(sys.argv[1]).Pool(1) as pool:
        for method in value.read, value.written:
            if pool.apply(call, (method,)) != method():
                print(pool.apply(call, (method,)), method())
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_structures_of_msgspec_keep_their_fields_and_settings(tmp_path, method):
    (tmp_path / "script.py").write_text(STRUCTS)
    assert run("script.py", method, cwd=tmp_path) == ""


DEFINED_AGAIN = """
import sys
import procession
from procession._objects import by_value

def known(_):
    return len(by_value._filled)

if __name__ == "__main__":
    with procession.get_context(sys.argv[1]).Pool(1) as pool:
        most = 0
        for _ in range(1000):
            class Again:
                pass
            most = max(most, pool.apply(known, (Again(),)))
        print(most < 600)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_classes_that_are_defined_again_and_again_are_forgotten(tmp_path, method):
    (tmp_path / "script.py").write_text(DEFINED_AGAIN)
    assert run("script.py", method, cwd=tmp_path) == "True\n"


DECORATED = """
import contextlib, dataclasses, functools, inspect, sys
import procession

METHOD = sys.argv[1]

def call(function, *args):
    return function(*args)

def parameters(function):
    return function.cache_parameters()

if __name__ == "__main__":
    context = procession.get_context(METHOD)
    pool = context.Pool(1)
    pool.apply(call, (int,))

    @functools.cache
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    @functools.lru_cache(maxsize=7, typed=True)
    def square(n):
        return n * n

    @functools.singledispatch
    def show(x):
        return "any"

    @show.register
    def _(x: int):
        return "int, " + show("s")

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args):
            return "wrapped", function(*args)
        return wrapper

    @decorate
    def decorated(x):
        return x + 1

    @contextlib.contextmanager
    def managed(x):
        yield x

    def manage(x):
        with managed(x) as y:
            return y

    class Memo:
        def __init__(self, function):
            functools.update_wrapper(self, function)
            self.function = function

        def __call__(self, *args):
            return self.function(*args)

    @Memo
    def memo(x):
        return x * 3

    class Methods:
        @functools.singledispatchmethod
        def dispatched(self, x):
            return "any"

        @dispatched.register
        def _(self, x: int):
            return "int"

        @functools.cached_property
        def once(self):
            return 4

        @functools.lru_cache
        def cached(self):
            return 6

        @staticmethod
        @functools.cache
        def static(x):
            return x

        @property
        def half(self):
            return 8

    missing = object()

    @dataclasses.dataclass
    class Record:
        a: int
        b: int = 2

        def required(self):
            return [
                field.name for field in dataclasses.fields(self)
                if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            ]

        def derived(self):
            @dataclasses.dataclass
            class Derived(type(self)):
                c: int = dataclasses.field(default=1, kw_only=True)
            return Derived(5).a

    def defaults(x=inspect.Parameter.empty, y=missing, z=functools._initial_missing):
        return x is inspect._empty, y is missing, z is functools._initial_missing

    calls = [
        (55, fib, 10), (9, square, 3), ("int, any", show, 1), (("wrapped", 2), decorated, 1), (3, manage, 3),
        (6, memo, 2),
        ("int", Methods().dispatched, 3), (6, Methods().cached), (2, Methods.static, 2), (4, lambda: Methods().once),
        (8, lambda: Methods().half), (["a"], Record(1).required), (5, Record(1).derived), ((True,) * 3, defaults),
        (9, functools.partial(square, 3)), (16, square.__wrapped__, 4),
    ]
    for number, (wanted, function, *args) in enumerate(calls):
        queue = context.SimpleQueue()
        queue.put(function)
        got = pool.apply(function, args), pool.apply(call, (function, *args)), queue.get()(*args)
        if got != (wanted,) * 3:
            print(number, wanted, got)
    print(pool.apply(parameters, (square,)) == square.cache_parameters())
    pool.terminate()
"""


@pytest.mark.parametrize("how", ["script", "stdin"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_decorated_functions_travel_with_what_their_decorators_were_told(tmp_path, method, how):
    (tmp_path / "script.py").write_text(DECORATED)
    given = DECORATED if how == "stdin" else None
    assert run("script.py" if how == "script" else "-", method, cwd=tmp_path, given=given) == "True\n"


KNOWN = """
import procession, sys

class Early:
    pass

def define():
    global Later
    class Later:
        pass

def same(obj):
    return obj

def is_early(obj):
    return isinstance(obj, Early)

def make(name):
    return globals()[name]()

def changed(obj):
    return obj.changed

def put(name, queue):
    queue.put(make(name))

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    class Guarded:
        changed = 1
    define()
    with context.Pool(1) as pool:
        print(pool.apply(is_early, (Early(),)), type(pool.apply(make, ("Early",))) is Early)
        print(type(pool.apply(same, (Guarded(),))) is Guarded, type(pool.apply(same, (Later(),))) is Later)
        if sys.argv[1] == "fork":
            print(type(pool.apply(make, ("Guarded",))) is Guarded, type(pool.apply(make, ("Later",))) is Later)
        else:
            first = pool.apply(changed, (Guarded(),))
            Guarded.changed = 2
            print(first == 1, pool.apply(changed, (Guarded(),)) == Guarded.changed == 2)
    queue = context.SimpleQueue()
    child = context.Process(target=put, args=("Early", queue))
    child.start()
    print(type(queue.get()) is Early)
    child.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_who_has_the_class_itself_gets_objects_of_that(tmp_path, method):
    (tmp_path / "script.py").write_text(KNOWN)
    assert run("script.py", method, cwd=tmp_path) == "True True\n" * 3 + "True\n"


def generate():
    yield 1


def values_that_refuse():
    lock = threading.Lock()
    return {
        "generator": generate(),
        "lock": lock,
        "event": threading.Event(),
        "thread": threading.Thread(),
        "frame": sys._getframe(),
        "code": generate.__code__,
        "weak reference": weakref.ref(generate),
        "weak set": weakref.WeakSet([generate]),
        "weak dict": weakref.WeakValueDictionary(),
        "keys": collections.OrderedDict().keys(),  # those of a dict have a reducer, once managers are loaded
        "mapping proxy": types.MappingProxyType({}),
        "property": property(),
        "class method": classmethod(len),
        "match": re.match("a", "a"),
        "array of ctypes": (ctypes.c_int * 3)(1, 2, 3),
        "pointer of ctypes": ctypes.pointer(ctypes.c_int(1)),
        "database": sqlite3.connect(":memory:"),
        "text": tempfile.TemporaryFile("w+"),
        "binary": tempfile.TemporaryFile(),
        "stream": io.TextIOWrapper(io.BytesIO()),
        "class of keys": type({}.keys()),
        "closure over a lock": lambda: lock,
    }


KINDS = sorted(values_that_refuse())


@pytest.mark.parametrize("kind", KINDS)
def test_what_refuses_to_be_pickled_keeps_refusing_with_the_first_error(kind):
    value = values_that_refuse()[kind]
    with pytest.raises(Exception) as standard:
        pickle.dumps(value)
    queue = procession.SimpleQueue()
    first, second = procession.Pipe()
    with pytest.raises(type(standard.value)) as put:
        queue.put(value)
    with pytest.raises(type(standard.value)) as sent:
        first.send([value])
    with pytest.raises(type(standard.value)) as dumped:
        reduction.ForkingPickler.dumps({"k": value})
    for raised in (put, sent, dumped):
        assert str(raised.value).startswith(str(standard.value)[:40])
    assert queue.empty()
    if hasattr(value, "close"):
        value.close()
    first.close()
    second.close()


def test_the_error_of_an_item_says_where_the_culprit_is(context):
    lock = threading.Lock()
    with context.Pool(1) as pool:
        with pytest.raises(TypeError, match=r"\[1\]\['k'\]\.lock: lock"):
            pool.map(str, [[0, {"k": types.SimpleNamespace(lock=lock)}]])
        with pytest.raises(procession.pool.MaybeEncodingError, match=r"cannot pickle 'generator' object"):
            pool.apply(generate)
        assert pool.apply(abs, (-1,)) == 1
    pool.join()


class Told(Exception):
    pass


class Refusing:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


ERRORS = [Told, TypeError, MemoryError, KeyError, pickle.PicklingError]


@pytest.mark.parametrize("kind", ERRORS)
def test_what_an_object_raises_when_it_is_pickled_comes_through(context, kind):
    error = kind("mine")
    queue = context.SimpleQueue()
    with pytest.raises(kind) as raised:
        queue.put([Refusing(error)])
    assert raised.value is error
    with context.Pool(1) as pool, pytest.raises(kind) as raised:
        pool.apply(str, (Refusing(error),))
    pool.join()
    assert raised.value is error


class Counting:
    """Counts how often it is reduced."""

    def __init__(self, then):
        self.then, self.count = then, 0

    def __reduce__(self):
        self.count += 1
        return list, ((self.then,),)


@pytest.mark.parametrize(("then", "most"), [(1, 1), (lambda: 1, 1), (threading.Lock(), 2)])
def test_objects_are_reduced_once_and_at_most_twice_where_that_fails(context, then, most):
    def count(send):
        counting = Counting(then)
        try:
            send(counting)
        except TypeError:
            pass
        assert 1 <= counting.count <= most

    queue = context.SimpleQueue()
    count(queue.put)
    count(reduction.ForkingPickler.dumps)
    with context.Pool(1) as pool:
        count(lambda obj: pool.apply(len, (obj,)))
        count(lambda obj: pool.map(type, [obj, 1, 2]))
        count(lambda obj: pool.map(type, [obj, 1, 2], chunksize=3))
        count(lambda obj: list(pool.imap(type, [obj])))
    pool.join()


def test_modules_loggers_and_sockets_travel(context):
    queue = context.SimpleQueue()
    for value in (socket, logging.getLogger("some.logger"), functools):
        queue.put(value)
        assert queue.get() is value


LAZY = """
import sys
import procession
lazy import json
lazy import nowhere_to_be_found
lazy from collections import OrderedDict as Ordered
lazy import xml.dom.minidom

if __name__ == "__main__":
    def whole(x): return json.dumps(x)
    def part(x): return list(Ordered(a=x))
    def inner(x): return xml.dom.minidom.Node.ELEMENT_NODE
    def nothing(x): return x
    class Some:
        def method(self, x): return json.dumps([x])
    def around(y):
        return lambda x: json.dumps([x, y])

    functions = [whole, part, inner, nothing, Some().method, around(3), lambda x: whole(x)]
    context = procession.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        print([pool.apply(function, (2,)) for function in functions])
    queue = context.Queue()
    queue.put(functions)
    print([function(2) for function in queue.get()])
"""


@pytest.mark.skipif(sys.version_info < (3, 15), reason="Python has no lazy imports before 3.15")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_a_function_imports_lazily_is_there_where_it_arrives(tmp_path, method):
    (tmp_path / "script.py").write_text(LAZY)
    line = "['2', ['a'], 1, 2, '[2]', '[2, 3]', '2']\n"
    assert run("script.py", method, cwd=tmp_path) == line * 2


ANNOTATED = """
import dataclasses, enum, functools, sys, typing
import procession

if __name__ == "__main__":
    class Plain:
        x: int
        y: NotThere
        me: Plain
    class Known:
        x: Plain
    @dataclasses.dataclass
    class Record:
        x: int
        y: NotThere = 1
    class Row(typing.NamedTuple):
        x: int
        y: NotThere = 1
    class Numbers(enum.Enum):
        one: int = 1
    def function(a: NotThere, b: int) -> Plain: return a
    def known(a: int) -> Plain: return a
    @functools.cache
    def cached(a: NotThere): return a
    class Methods:
        def method(self, x: NotThere) -> Methods: return x

    def texts(obj):
        if sys.version_info < (3, 14):
            return {name: getattr(value, "__forward_arg__", value) for name, value in obj.__annotations__.items()}
        import annotationlib
        found = annotationlib.get_annotations(obj, format=annotationlib.Format.FORWARDREF)
        return {
            name: value if isinstance(value, str) else getattr(value, "__name__", None) or value.__forward_arg__
            for name, value in found.items()
        }

    with procession.get_context(sys.argv[1]).Pool(1) as pool:
        for obj in (Plain, Known, Record, Row, Numbers, function, known, cached, Methods.method):
            print(pool.apply(texts, (obj,)))
        print(pool.apply(lambda: (function(1, 2), Methods().method(3), Record(1).y, Row(1).y, cached(4))))
        print(pool.apply(lambda: [field.name for field in dataclasses.fields(Record)]))
"""

ANNOTATIONS = """\
{'x': 'int', 'y': 'NotThere', 'me': 'Plain'}
{'x': 'Plain'}
{'x': 'int', 'y': 'NotThere'}
{'x': 'int', 'y': 'NotThere'}
{'one': 'int'}
{'a': 'NotThere', 'b': 'int', 'return': 'Plain'}
{'a': 'int', 'return': 'Plain'}
{'a': 'NotThere'}
{'x': 'NotThere', 'return': 'Methods'}
(1, 3, 1, 1, 4)
['x', 'y']
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_annotations_travel_whether_the_names_in_them_are_known_or_not(tmp_path, method):
    late = sys.version_info >= (3, 14)
    (tmp_path / "script.py").write_text(("" if late else "from __future__ import annotations\n") + ANNOTATED)
    assert run("script.py", method, cwd=tmp_path) == ANNOTATIONS


ONE = """
import functools

FACTOR = 3

class Box:
    def __init__(self, value):
        self.value = value

    def grown(self):
        return Box(times(self.value))

def times(value):
    return value * FACTOR

@functools.lru_cache
def cached(value):
    return times(value)

def boxed(value):
    return Box(times(value))
"""
REGISTERED = """
import shutil, sys, time
import cloudpickle, procession

if __name__ == "__main__":
    method, folder, how = sys.argv[1:]
    sys.path.insert(0, folder)
    import parts, parts.one
    cloudpickle.register_pickle_by_value(parts if how == "package" else parts.one)
    sys.path.remove(folder)
    shutil.rmtree(folder)  # so that no child can import it
    with procession.get_context(method).Pool(1) as pool:
        pool.apply(time.sleep, (0,))
        assert pool.apply(parts.one.times, (2,)) == 6
        assert pool.map(parts.one.cached, [2, 2]) == [6, 6]
        assert [box.value for box in pool.map(parts.one.Box.grown, [parts.one.Box(1), parts.one.Box(2)])] == [3, 6]
        box = pool.apply(parts.one.boxed, (5,))
        assert type(box) is parts.one.Box and box.value == 15
        assert pool.apply(sorted, ([2, 1], ), {"key": parts.one.times}) == [1, 2]
    pool.join()
    queue = procession.get_context(method).Queue()
    queue.put({"deep": parts.one.times})
    there = queue.get(timeout=60)["deep"]
    assert there is not parts.one.times and there(3) == 9
    queue.close()
    cloudpickle.unregister_pickle_by_value(parts if how == "package" else parts.one)
    assert procession.reduction.ForkingPickler.loads(
        procession.reduction.ForkingPickler.dumps(parts.one.times)
    ) is parts.one.times
    print("done")
"""


@pytest.mark.parametrize("how", ["package", "module"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_stands_in_a_module_that_is_registered_with_cloudpickle_goes_by_value(tmp_path, method, how):
    folder, program = tmp_path / "path", tmp_path / "program.py"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "__init__.py").write_text("")
    (folder / "parts" / "one.py").write_text(ONE)
    program.write_text(REGISTERED)
    assert run("-W", "error", str(program), method, str(folder), how) == "done\n"


ENUMS = """
import enum, functools, sys
import procession

if __name__ == "__main__":
    class Kind(enum.Enum):
        NOTHING = object()
        OTHER = object()
        CALL = enum.member(lambda x: x + 1)
        PART = functools.partial(lambda x: x, 2)
        PAIR = (lambda x: x, 1)
        NUMBER = 3
        NAN = float("nan")
        ALIAS = 3
    class Flags(enum.Flag):
        A, B = 1, 2
    class Words(str, enum.Enum):
        A = "a"
    class Own(enum.Enum):
        X = object()
        def __reduce_ex__(self, protocol):
            return getattr, (Own, "X")

    members = [*Kind, Kind.ALIAS, Flags.A, Flags.A | Flags.B, Words.A, Own.X]
    with procession.get_context(sys.argv[1]).Pool(1) as pool:
        named = lambda x: x is type(x)[x.name] if x.name in type(x).__members__ else x.name
        told = [pool.apply(named, (m,)) for m in members]
        back = [pool.apply(lambda x: x, (m,)) is m for m in members]
        calls = pool.apply(lambda x: x.value(1), (Kind.CALL,)), pool.apply(lambda x=Kind.NOTHING: x is Kind.NOTHING)
    queue = procession.get_context(sys.argv[1]).Queue()
    queue.put(members)
    print(sorted(map(str, set(told))), set(back), calls, all(a is b for a, b in zip(queue.get(), members)))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_members_of_enums_whose_values_equal_no_copy_travel_by_their_names(tmp_path, method):
    (tmp_path / "script.py").write_text(ENUMS)
    assert run("script.py", method, cwd=tmp_path) == "['A|B', 'True'] {True} (2, True) True\n"


def test_an_error_names_what_cannot_be_made_where_it_arrives():
    class Settings:
        def __init__(self, text):
            self.text = text

        def __reduce__(self):
            return Settings, ()

    class Reader:
        settings = Settings("a")

    class Lister(list):
        settings = Settings("a")

    with procession.get_context("forkserver").Pool(1) as pool:
        for cls in (Reader, Lister):
            with pytest.raises(pickle.UnpicklingError, match="by value.*copyreg.*TypeError: .*'text'") as told:
                pool.apply(type, (cls(),))
            assert cls is Reader or str(told.value).startswith(f"{cls.__qualname__} of {__name__}"), told.value
