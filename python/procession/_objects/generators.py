"""Which values are random generators: a copy of one draws what the other draws."""

import sys

from procession._objects.main_module import is_of_program

__all__ = ["holds_generator"]

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
    if isinstance(value, _CONTAINERS):
        inside = list(value.values() if isinstance(value, dict) else value) if len(value) <= _MOST_ITEMS else ()
    else:
        # Asking an object for its attributes may run code of its class.
        inside = list(vars(value).values()) if _is_simple(value) else ()
    return any(_holds(one, classes, depth - 1) for one in inside)


_METHODS = (type(len), type(kinds.__get__(0)))


def _is_simple(value):
    cls = type(value)
    return is_of_program(sys.modules.get(cls.__module__)) and type(getattr(value, "__dict__", None)) is dict


def _renewed():
    random, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    yield getattr(random, "_inst", None)
    if numpy is not None:
        yield getattr(numpy, "mtrand", None) and getattr(numpy.mtrand, "_rand", None)
