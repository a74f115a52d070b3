"""Which global variables a function reads, and what it calls in modules of the program: found in its code.

What cannot be known is left out: names that are put together at run time, calls of what arguments bring along.
"""

import functools
import sys
import types

from procession._objects import generators
from procession._objects.main_module import is_of_program, leads_to_program
from procession._procession import SignalsHeld

__all__ = ["Reads", "of_function", "plain"]

_MOST_CODES = 300  # looked at for one function
_MOST_KNOWN = 1000  # functions that are remembered
# Methods that change a list, a dictionary or a set.
_CHANGING = frozenset((
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault",
    "sort", "update",
))  # fmt: skip
# Code that uses these may set any name.
SETTING_ANY = frozenset(("globals", "vars", "setattr", "exec", "eval", "__dict__", "import_module", "__setitem__"))


class Reads:
    """What a function does with global variables.

    Attributes:
        places: those that it reads, as pairs of a module's and a variable's name.
        written: those that it sets.
        changed: containers that it may change.
        names: all names in its code.
        held: random generators that it may use and that no variable of a module holds, as pairs of a module's name and
            a path with dots: attributes of classes, what functions have around them or by default.
        attributes: that it sets of any object, outside of `__init__`; and those that `__init__` sets.
    """

    def __init__(self):
        self.places = {}
        self.written = set()
        self.changed = set()
        self.names = set()
        self.held = set()
        self.attributes = set(), set()


def plain(function):
    """Return the function behind partials, bound methods, wrappers and callable objects, and the class of those.

    Returns:
        A function or class, or None; and a class or None.
    """
    owner = None
    for _ in range(20):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            owner = function.__self__ if isinstance(function.__self__, type) else type(function.__self__)
            function = function.__func__
        elif hasattr(type(function), "__code__") or isinstance(function, types.FunctionType):
            inner = vars(function).get("__wrapped__")
            if inner is None:
                return function, owner
            function = inner
        elif isinstance(function, type):
            return function, function
        elif "__wrapped__" in (getattr(function, "__dict__", None) or ()):  # such as a cache
            function = function.__wrapped__
        else:
            owner = type(function)
            function = next((vars(base)["__call__"] for base in owner.__mro__ if "__call__" in vars(base)), None)
            if not isinstance(function, types.FunctionType):
                return None, owner
    return None, owner


_known: dict = {}  # by the number of a function's code or a class: that, and its `Reads`


def of_function(function):
    """Return the `Reads` of a function or class of the program; None for those of libraries, and compiled ones."""
    function, owner = plain(function)
    key = getattr(function, "__code__", function)
    known = _known.get(id(key))
    if known is not None:
        return known[1]
    found = None
    if function is not None and is_of_program(sys.modules.get(function.__module__)):
        walk = _Walk()
        if owner is not None:
            walk.classes.append(owner)
        walk.meet(function)
        walk.finish()
        found = walk.reads
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    if isinstance(key, types.CodeType):  # a class may hold much
        _known[id(key)] = key, found
    return found


class _Walk:
    def __init__(self):
        self.reads = Reads()
        self.classes = []
        self._met = set()

    def finish(self):
        """Look at the methods, by their names, of the classes that were met, until there is nothing new."""
        before = -1
        while before != len(self._met):
            before = len(self._met)
            for cls in list(self.classes):
                for name, value in [pair for base in cls.__mro__ for pair in vars(base).items()]:
                    if name in self.reads.names or name in _IMPLIED:
                        self.meet(_method(value))
        set_anywhere = self.reads.attributes[0] | self.reads.attributes[1]
        for base in {base for cls in self.classes for base in cls.__mro__ if is_of_program(_module(base))}:
            for name in generators.of_class(base, self.reads.names - set_anywhere):
                self.reads.held.add((base.__module__, f"{base.__qualname__}.{name}"))

    def meet(self, value, path=None):
        """Take note of a function or class, which a variable with that name holds."""
        if isinstance(value, types.FunctionType):
            self._function(value, path)
        value, owner = plain(value) if callable(value) else (None, None)
        if owner is not None and owner not in self.classes and is_of_program(_module(owner)):
            self.classes.append(owner)
        if isinstance(value, types.FunctionType):
            self._function(value, path)

    def _function(self, function, path=None):
        names = function.__globals__
        home = names.get("__name__")
        module = sys.modules.get(home)
        if id(function.__code__) in self._met or len(self._met) >= _MOST_CODES:
            return
        if getattr(module, "__dict__", None) is names and is_of_program(module):
            self._code(function.__code__, names)
            path = path or function.__qualname__
            if "<locals>" not in path:  # of those there may be several, each with its own
                held = generators.of_function(function)
                self.reads.held.update((home, f"{path}.{name}") for name in held)
            for cell in function.__closure__ or ():
                try:
                    inner = cell.cell_contents
                except ValueError:  # it has no value yet
                    continue
                if isinstance(inner, types.FunctionType):
                    self._function(inner)

    def _code(self, code, names):
        self._met.add(id(code))
        self.reads.names.update(code.co_names)
        module = names["__name__"]
        for const in code.co_consts:
            if isinstance(const, types.CodeType):
                self._code(const, names)
        if not code.co_names:
            return
        steps = _steps(code)
        self.reads.written.update((module, name) for name in steps.stored)
        self.reads.attributes[code.co_name == "__init__"].update(steps.attributes_set)
        for name in steps.loaded:
            if name in names:
                self._value(module, name, names[name], steps, name)
            elif name not in _BUILTINS:
                self.reads.places[module, name] = None

    def _value(self, module, name, value, steps, path):
        """Take note of a variable, which the code calls by a path: names with dots between them."""
        if name.startswith("__"):
            return
        if isinstance(value, types.ModuleType):
            if leads_to_program(value):
                inside = vars(value)
                for owner, attribute in steps.attributes:
                    if owner == path and attribute in inside:
                        self._value(inside["__name__"], attribute, inside[attribute], steps, f"{path}.{attribute}")
                self.reads.written.update((inside["__name__"], attr) for owner, attr in steps.set_on if owner == path)
            return
        if isinstance(value, _NO_VARIABLES) or type(value).__module__ == "functools":
            self.meet(value, name)
            if isinstance(value, functools.partial):  # whose arguments count
                self.reads.places[module, name] = None
            return
        cls = type(value)
        if cls not in self.classes and is_of_program(_module(cls)):
            self.classes.append(cls)
        self.reads.places[module, name] = None
        if steps.sets_items or any(owner == path and attr in _CHANGING for owner, attr in steps.attributes):
            self.reads.changed.add((module, name))


_BUILTINS = frozenset(dir(__builtins__) if isinstance(__builtins__, types.ModuleType) else __builtins__)
_NO_VARIABLES: tuple[type, ...] = (type, types.FunctionType, functools.partial)
_IMPLIED = frozenset(("__init__", "__new__", "__post_init__", "__call__", "__enter__", "__exit__", "__iter__"))


def _module(cls):
    return sys.modules.get(cls.__module__)


def _method(value):
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return value.fget if isinstance(value, property) else value


@functools.cache
def _kinds():
    """Return the names of the instructions that count, by their numbers."""
    # Tasks may run by now: a Ctrl-C that comes at the end of an import is swallowed by a callback of that.
    with SignalsHeld():
        from opcode import opmap
    return {opmap[name]: name for name in _INSTRUCTIONS if name in opmap}


class _steps:
    """What the instructions of one code object do with names."""

    def __init__(self, code):
        self.loaded, self.stored = {}, set()
        self.attributes, self.set_on, self.attributes_set = set(), set(), set()
        self.sets_items = False
        names, number, before = code.co_names, 0, None
        kinds = _kinds()
        raw = code.co_code
        for at in range(0, len(raw), 2):
            if not raw[at]:  # room for the interpreter's notes
                continue
            number = number << 8 | raw[at + 1]
            kind = kinds.get(raw[at])
            if kind == "EXTENDED_ARG":
                continue
            before = self._step(kind, number, names, before)
            number = 0

    def _step(self, kind, number, names, before):
        """Take note of an instruction; return the path of what it has loaded from a global variable, or None."""
        if kind in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            name = names[number >> 1 if kind == "LOAD_GLOBAL" else number]
            self.loaded[name] = None
            return name
        if kind in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            self.stored.add(names[number])
        elif kind in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE"):
            self.sets_items = True
        elif before is not None and kind in ("LOAD_ATTR", "LOAD_METHOD"):
            shift = kind == "LOAD_ATTR" and sys.version_info >= (3, 12)
            name = names[number >> 1 if shift else number]
            self.attributes.add((before, name))
            return f"{before}.{name}"
        elif kind == "STORE_ATTR":
            self.attributes_set.add(names[number])
            if before is not None:
                self.set_on.add((before, names[number]))
        return None


_INSTRUCTIONS = (
    "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL", "DELETE_GLOBAL", "STORE_SUBSCR",
    "DELETE_SUBSCR", "STORE_SLICE", "LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "EXTENDED_ARG",
)  # fmt: skip
