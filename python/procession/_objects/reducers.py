"""How objects are reduced beyond what the pickler knows: by what was registered, and by what we do ourselves.

What was registered comes first, whoever it was registered with: `engine.registered_reducer` knows it. For classes of
the names below that nobody has registered, for enums and for subclasses of numpy's arrays, compiled code asks here.
A library that is not loaded has no objects: none is imported for its own sake.
"""

import _operator as operator  # without what `operator` loads
import _pickle as pickle  # without what `pickle` loads
import sys
import types

from procession import _procession as engine
from procession._objects import buffers
from procession._objects.descriptors import DupFd

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from types import ModuleType


__all__ = ["LIBRARIES", "OTHERS", "dispatch_table", "finder", "library", "make_pickler", "other", "registered"]

registered: dict = {memoryview: buffers.reduce_memoryview}  # by type: what `ForkingPickler.register` was given


class _Pickler(pickle.Pickler):
    """The C pickler, with compiled code that it asks about functions, classes and objects of other classes."""

    __slots__ = ("reducer_override",)


def make_pickler(sink):
    """Return a pickler that writes to `sink` and offers it large buffers by `sink.keep`.

    It serves again and again: call `clear_memo` after each `dump`. Its `dump` runs no Python code for plain objects.
    """
    pickler = _Pickler(sink, buffers.PROTOCOL, buffer_callback=sink.keep)
    pickler.reducer_override = finder().reduce  # type: ignore[method-assign]
    return pickler


def finder(by_value=None, buffers=True):
    """Return what finds the reducers of objects; functions and classes without a name are given to `by_value`, and
    `buffers` says whether the pickle can have some."""
    return engine.Reducers(other, _found if buffers else None, by_value or _by_value)


def _by_value(obj):
    from procession._objects import by_value

    return by_value.reduce(obj)


# The classes whose objects are pickled as names, which are no functions and no classes.
_TYPE_NAMES = frozenset({"NewType", "ParamSpec", "TypeAliasType", "TypeVar", "TypeVarTuple"})

# The names of the classes that `other` is asked for; the engine has them, too.
OTHERS = frozenset({"socket", "module", "_lru_cache_wrapper", "method", "_singledispatchmethod_get", *_TYPE_NAMES})

_EQUAL_COPIES = (int, str, bytes, bool, type(None))  # of values of enums

_OWN = ("__reduce__", "__reduce_ex__", "__setstate__")
# Classes with buffers that their own reducers copy, by the names of their package and their own: the function
# that reduces them, and the methods that a subclass must have from them to be reduced so. Without such
# methods all subclasses keep their own way.
LIBRARIES = {
    ("array", "array"): ("library_values.numbers", None),
    ("astropy", "Column"): ("library_values.described_array", _OWN),
    ("astropy", "Quantity"): ("library_values.described_array", _OWN),
    ("jaxlib", "ArrayImpl"): ("library_values.jax_array", None),
    ("numpy", "MaskedArray"): ("library_values.masked_array", (*_OWN, "__getstate__", "__new__")),
    ("numpy", "ndarray"): ("library_values.derived_array", _OWN),
    ("PIL", "Image"): ("arrow_values.image", None),
    ("pyarrow", "Array"): ("arrow_values.part_of_array", _OWN),
    ("polars", "DataFrame"): ("arrow_values.polars_frame", None),
    ("polars", "Series"): ("arrow_values.polars_series", None),
}


def library(cls):
    """Return how objects of a class of some library are reduced; None if they go their own way."""
    return _found(cls)[0]


def _found(cls):
    """Return the reducer of a class of some library, and whether it stays so whatever methods the class is given."""
    for base in cls.__mro__:
        module = getattr(base, "__module__", None)
        found = LIBRARIES.get((module.partition(".")[0], base.__name__)) if isinstance(module, str) else None
        if found is None:
            continue
        name, methods = found
        if cls is base:
            return _function("library_values.array" if base.__name__ == "ndarray" else name), True
        if methods is None or any(getattr(cls, one, None) is not getattr(base, one, None) for one in methods):
            return None, False
        return _function(name), False
    return None, True


def _function(name):
    module, _, function = name.partition(".")
    if module == "arrow_values":
        from procession._objects import arrow_values

        return getattr(arrow_values, function)
    from procession._objects import library_values

    return getattr(library_values, function)


def other(cls):
    """Return how objects of a class of the interpreter are reduced, or None."""
    if cls is types.MethodType:
        return _method
    if cls.__name__ in _TYPE_NAMES and cls.__module__ in ("typing", "typing_extensions"):
        return _type_name
    if cls.__name__ == "_singledispatchmethod_get" and cls.__module__ == "functools":
        return _generic_method
    if cls is types.ModuleType:
        return _module
    if cls is getattr(sys.modules.get("socket"), "socket", None):
        return _socket
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(cls, enum.EnumMeta) and cls.__reduce_ex__ is enum.Enum.__reduce_ex__:
        return _enum_member
    return None


def dispatch_table(buffers):
    """Return the reducers of single classes, for picklers that ask nobody about the others.

    Args:
        buffers: whether the pickle may have buffers.
    """
    table = {}
    sock = getattr(sys.modules.get("socket"), "socket", None)
    if sock is not None:
        table[sock] = _socket
    numpy_array = getattr(sys.modules.get("numpy"), "ndarray", None)
    if buffers and numpy_array is not None:
        table[numpy_array] = library(numpy_array)
    return table | engine.registered_reducers()


def _method(method):
    """Reduce a method that its object does not have under the name of its function."""
    return types.MethodType, (method.__func__, method.__self__)


def _generic_method(bound):
    from procession._objects import decorated

    return decorated.generic_method(bound)


def _enum_member(member):
    """Reduce a member of an enum to its value, or to its name where a copy of the value would not be equal to it."""
    if type(member._value_) in _EQUAL_COPIES or member._name_ not in type(member)._member_map_:
        return member.__reduce_ex__(buffers.PROTOCOL)
    return operator.getitem, (type(member), member._name_)


def _type_name(obj):
    from procession._objects import type_names

    return type_names.reduced(obj)


def _module(module: "ModuleType"):
    """Reduce a module to its name, or to its contents if there is no module of that name."""
    if sys.modules.get(module.__name__) is module and not engine.goes_by_value(module.__name__):
        from importlib import import_module

        return import_module, (module.__name__,)
    import cloudpickle.cloudpickle

    return cloudpickle.cloudpickle._module_reduce(module)


def _socket(sock):
    return _rebuild_socket, (DupFd(sock.fileno()), sock.family, sock.type, sock.proto, sock.gettimeout())


def _rebuild_socket(df, family, type, proto, timeout):
    import socket

    sock = socket.socket(family, type, proto, fileno=df.detach())
    # The system's flag for it travels with the descriptor, but a new object knows only the default of this process.
    sock.settimeout(timeout)
    return sock
