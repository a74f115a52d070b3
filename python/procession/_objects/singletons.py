"""Objects that stand for themselves, such as `dataclasses.MISSING`: within a definition they travel by name.

A copy would not be what programs compare with. A module holds such an object under a name: one of a class of that
module without any contents, or a bare `object()`.
"""

import sys
import types

__all__ = ["is_enum", "reduced", "settle"]

_REDUCERS = {object.__reduce_ex__, object.__reduce__}


def reduced(obj):
    """Return how to pickle an object that a module holds by name, NotImplemented for all others."""
    cls = type(obj)
    if cls is object:
        place = _place_of_bare(obj)
    elif _may_be(obj, cls):
        place = _place_in(sys.modules.get(cls.__module__), obj)
    else:
        return NotImplemented
    return NotImplemented if place is None else (member, place)


def _may_be(obj, cls):
    if cls.__module__ in ("builtins", "__main__", "__mp_main__") or getattr(obj, "__dict__", None):
        return False
    # Objects that say how they are pickled know themselves.
    return cls.__reduce_ex__ in _REDUCERS and cls.__reduce__ in _REDUCERS


def _place_in(module, obj):
    if not isinstance(module, types.ModuleType):
        return None
    for name, value in list(vars(module).items()):
        if value is obj:
            return module.__name__, name
    return None


def _place_of_bare(obj):
    for name, module in list(sys.modules.items()):
        if name not in ("__main__", "__mp_main__") and isinstance(module, types.ModuleType):
            place = _place_in(module, obj)
            if place is not None:
                return name, place[1]
    return None


def member(module, name):
    """Return what a module holds under a name."""
    import importlib

    return getattr(importlib.import_module(module), name)


def is_enum(cls):
    """Return whether a class is an enum, whose members are made with it."""
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumMeta)


def settle(namespace, names):
    """Have what is imported lazily be imported, where it is used: until then a variable holds a promise, which no other
    process could keep. What cannot be imported stays behind."""
    for name in names:
        if is_promise(namespace.get(name)):
            try:
                eval(name, namespace)
            except ImportError:
                pass


def is_promise(value):
    """Return whether a value stands for a module, or what is in it, that is not imported yet."""
    return type(value).__name__ == "lazy_import"
