"""Which values are random generators, and where functions and classes have them: copies of one draw the same."""

import functools
import sys
import types

from procession._objects.main_module import is_of_program

__all__ = ["holds_generator", "inside", "of_class", "of_function"]

_MOST_ITEMS = 64  # of a container that is looked into
_CONTAINERS = (list, tuple, dict, set, frozenset)


def kinds():
    """Return the classes of generators that this process can have."""
    found = []
    for name, classes in (
        ("random", ("Random",)),
        ("numpy.random", ("Generator", "RandomState", "BitGenerator")),
        ("torch", ("Generator",)),
    ):
        module = vars(sys.modules[name]) if name in sys.modules else {}
        found += [module[cls] for cls in classes if isinstance(module.get(cls), type)]
    return tuple(found)


def holds_generator(value, depth=2):
    """Return whether a value is a random generator, a method of one, or holds one.

    Those behind the functions of `random` and `numpy.random` are none: children have fresh ones. Neither is one that
    asks the system.
    """
    classes = kinds()
    return bool(classes) and _holds(value, classes, depth)


def _holds(value, classes, depth):
    if isinstance(value, classes):
        return type(value).__name__ != "SystemRandom" and not any(value is own for own in _renewed())
    owner = getattr(value, "__self__", None) if type(value) in _METHODS else None
    if owner is not None and isinstance(owner, classes):
        return _holds(owner, classes, 0)
    if not depth:
        return False
    inside: list[object] = []
    if isinstance(value, functools.partial):
        inside = [value.func, *value.args, *value.keywords.values()]
    elif isinstance(value, _CONTAINERS):
        if len(value) <= _MOST_ITEMS:
            inside = list(value.values() if isinstance(value, dict) else value)
    elif _is_simple(value):  # asking others for their attributes may run code of their class
        inside = list(vars(value).values())
    return any(_holds(one, classes, depth - 1) for one in inside)


_METHODS = (types.BuiltinMethodType, types.MethodType)


def of_class(cls, names):
    """Return the attributes of a class, out of some names, that hold generators: all that have the class share them."""
    return [name for name, value in vars(cls).items() if name in names and holds_generator(value)]


def of_function(function):
    """Return the variables around a function, and its parameters by their defaults, that hold generators."""
    return [name for name, value in _beside(function) if not callable(value) and holds_generator(value)]


def _beside(function):
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    defaults = function.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def inside(module, path):
    """Return what a variable of a module holds, or an attribute of a class or what is beside a function there.

    Args:
        module: its name.
        path: names with dots between them.
    """
    names = path.split(".")
    value = vars(sys.modules[module]).get(names.pop(0)) if module in sys.modules else None
    for name in names:
        if isinstance(value, types.FunctionType):
            value = dict(_beside(value)).get(name)
        else:
            value = vars(value).get(name) if isinstance(value, type) else None
    return value


def _is_simple(value):
    cls = type(value)
    return (
        cls is types.SimpleNamespace
        or is_of_program(sys.modules.get(cls.__module__))
        and type(getattr(value, "__dict__", None)) is dict
    )


def _renewed():
    random, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    yield getattr(random, "_inst", None)
    if numpy is not None:
        yield getattr(numpy, "mtrand", None) and getattr(numpy.mtrand, "_rand", None)
