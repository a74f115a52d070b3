"""Type variables and new types, which are pickled as names: by value where a receiver does not find those."""

import sys

import cloudpickle.cloudpickle as by_cloud

from procession._objects import main_module

__all__ = ["reduced"]

_OPTIONS = ("bound", "covariant", "contravariant", "infer_variance")


def reduced(obj):
    """Return how to pickle a type variable or new type; NotImplemented when everybody finds it by its name."""
    module, name = obj.__module__, obj.__name__
    is_of_main = main_module.is_of_main(obj)
    if not is_of_main and getattr(sys.modules.get(module), name, None) is obj:
        return NotImplemented
    arguments, options = _made_of(obj)
    return _restored, (_token(obj), type(obj), module, name, is_of_main, arguments, options)


def _made_of(obj):
    kind = type(obj).__name__
    if kind == "NewType":
        return (obj.__name__, obj.__supertype__), {}
    if kind == "TypeAliasType":
        return (obj.__name__, obj.__value__), {"type_params": obj.__type_params__}
    options = {name: getattr(obj, f"__{name}__") for name in _OPTIONS if hasattr(obj, f"__{name}__")}
    if hasattr(obj, "has_default") and obj.has_default():
        options["default"] = obj.__default__
    return (obj.__name__, *getattr(obj, "__constraints__", ())), options


def _token(obj):
    try:
        return by_cloud._get_or_create_tracker_id(obj)
    except TypeError:  # nothing tells one from the other
        return None


def _restored(token, kind, module, name, is_of_main, arguments, options):
    found = by_cloud._DYNAMIC_CLASS_TRACKER_BY_ID.get(token) if token is not None else None
    if found is None and is_of_main:
        there = main_module.found_at([name])
        found = there if type(there) is kind else None
    if found is None:
        found = kind(*arguments, **options)
        try:
            found.__module__ = module
        except (AttributeError, TypeError):  # it is the interpreter's own
            pass
    return by_cloud._lookup_class_or_track(token, found)
