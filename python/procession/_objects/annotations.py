"""Annotations of what travels by value.

From Python 3.14 on they are computed when they are asked for, by a function that is good for its class or function
alone: so they are computed before they travel, and are texts where a name in them is not known.
"""

import sys
import types

__all__ = ["forward_reducers", "into", "of_class", "resolved"]

_LATE = sys.version_info >= (3, 14)


def of_class(cls):
    """Return the annotations of a class itself, without those of its bases."""
    return _computed(cls) if _LATE else vars(cls).get("__annotations__", {})


def into(contents, cls):
    """Put the annotations of a class among the contents that it travels with, in place of what computes them."""
    if _LATE and vars(cls).get("__annotate_func__") is not None:
        contents.pop("__annotations_cache__", None)
        contents["__annotations__"] = of_class(cls)


def resolved(function):
    """Return the function, or one like it whose annotations are texts, where they cannot be computed."""
    if not _LATE or _can_be_computed(function):
        return function
    variables = function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    copy = types.FunctionType(*variables)
    for name in ("__kwdefaults__", "__qualname__", "__module__", "__doc__", "__type_params__"):
        setattr(copy, name, getattr(function, name))
    vars(copy).update(vars(function))
    copy.__annotations__ = _computed(function)
    return copy


def forward_reducers():
    """Return how references to what is not known yet, such as the types of fields, are pickled within a definition.

    From Python 3.14 on they know where they come from, with all variables of the module: that stays behind.
    """
    module = sys.modules.get("annotationlib")
    return {} if module is None else {module.ForwardRef: _forward}


def _forward(reference):
    flags = reference.__forward_is_argument__, reference.__forward_is_class__
    return _forward_to, (reference.__forward_arg__, reference.__forward_module__, *flags)


def _forward_to(text, module, is_argument, is_class):
    import annotationlib

    return annotationlib.ForwardRef(text, module=module, is_argument=is_argument, is_class=is_class)


def _can_be_computed(obj):
    try:
        obj.__annotations__  # noqa: B018
    except Exception:  # it is code of the program's
        return False
    return True


def _computed(obj):
    if _can_be_computed(obj):
        return obj.__annotations__
    import annotationlib

    return annotationlib.get_annotations(obj, format=annotationlib.Format.STRING)
