"""What `functools` makes of functions, and how it travels by value: by the function and what the decorator was told."""

import functools

__all__ = ["cached_function", "cached_property", "generic_function", "generic_method"]

_GENERIC = getattr(functools.singledispatch(lambda _: None), "__code__", None)  # all have the same


def cached_function(function):
    """Return how to pickle what `cache` or `lru_cache` made of a function: as one with an empty cache."""
    parameters = function.cache_parameters()
    made_of = function.__wrapped__, parameters["maxsize"], parameters["typed"]
    return _cached, made_of, dict(function.__dict__)


def _cached(function, maxsize, typed):
    return functools.lru_cache(maxsize, typed)(function)


def generic_function(function):
    """Return how to pickle what `singledispatch` made of a function: with what is registered; None for all others."""
    if function.__code__ is not _GENERIC:
        return None
    attributes = {name: value for name, value in vars(function).items() if name not in _MADE}
    registered = dict(function.registry)
    state = attributes, registered, function.__name__, function.__qualname__, function.__module__
    return _generic, (registered[object],), state, None, None, _register


_MADE = ("register", "dispatch", "registry", "_clear_cache")


def _generic(function):
    return functools.singledispatch(function)


def _register(function, state):
    attributes, registered, function.__name__, function.__qualname__, function.__module__ = state
    function.__dict__.update(attributes)
    for cls, implementation in registered.items():
        if cls is not object:
            function.register(cls, implementation)


def generic_method(bound):
    """Return how to pickle a `singledispatchmethod` as an attribute of an object or a class, from Python 3.14 on."""
    return _bound, (bound._unbound, bound._obj, bound._cls)


def _bound(unbound, obj, cls):
    return unbound.__get__(obj, cls)


def cached_property(prop):
    """Return how to pickle a `cached_property`: in some versions it has a lock, which does not travel."""
    return _property, (prop.func, prop.attrname, prop.__doc__)


def _property(function, name, doc):
    made = functools.cached_property(function)
    made.attrname, made.__doc__ = name, doc
    return made
