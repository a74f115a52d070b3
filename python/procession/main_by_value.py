"""Functions and classes of a main module that children cannot import: how they travel by value, and arrive.

A receiver that has the very same one, such as a forked child or who sent it first, uses that. In children that have no
such main module its functions share one namespace, as they do where they come from: what an initializer stores in a
global variable is there for the tasks.
"""

import types

from procession import main_names, spawn

__all__ = ["build", "fill", "reduced"]

_names = {}  # the namespace of the functions that came
_came = {}  # what came last under each name


def reduced(obj, parts):
    """Return how to pickle a function or class of `__main__`, made of how cloudpickle would do it."""
    if not (isinstance(parts, tuple) and len(parts) == 6 and parts[5] is not None):
        return parts
    make, arguments, state, _, _, set_state = parts
    return build, (id(obj), obj.__qualname__, make, arguments), (set_state, state), None, None, fill


def build(address, path, make, arguments):
    """Return the function or class that stands at `address` here under the same name, or a new one without contents."""
    found = main_names.found_at(path.split("."))
    if id(found) == address and isinstance(found, main_names.BY_NAME):
        return found
    if isinstance(arguments[0], types.CodeType) and spawn.lacks_main:
        code, names, *others = arguments
        for name, value in names.items():
            _names.setdefault(name, value)
        arguments = (code, _names, *others)
    return make(*arguments)


def fill(obj, contents):
    """Give a new function or class its contents."""
    set_state, state = contents
    if main_names.found_at(obj.__qualname__.split(".")) is obj:
        return
    if isinstance(obj, types.FunctionType) and obj.__globals__ is _names:
        attributes, slots = state
        slots["__globals__"] = {name: value for name, value in slots["__globals__"].items() if _follows(name, value)}
        state = attributes, slots
    set_state(obj, state)


def _follows(name, value):
    """Return whether a variable is to have what came for it: not when this process has given it another value since."""
    follows = name not in _names or (name in _came and _names[name] is _came[name])
    _came[name] = value
    return follows
