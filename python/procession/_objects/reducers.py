"""Who knows how an object is reduced: what was registered, here or with the standard library, and what we do ourselves.

The one place that knows registered reducers; compiled code asks it once for all that pickle.
"""

import _pickle as pickle  # without what `pickle` loads
import copyreg
import sys
import types

from procession import _procession as engine
from procession import _standard
from procession._objects import sharing
from procession._objects.descriptors import DupFd

__all__ = ["array_reducers", "extra_reducers", "finder", "make_pickler"]

registered: dict = {memoryview: sharing.reduce_memoryview}  # by type: what `ForkingPickler.register` was given


def extra_reducers():
    """Return the reducers that were registered here, with the standard `ForkingPickler`, and for sockets."""
    table = dict(_standard.reducers())
    socket = sys.modules.get("socket")
    if socket is not None:
        table[socket.socket] = _reduce_socket
    table.update(registered)
    return table


class _Pickler(pickle.Pickler):
    """The C pickler, with compiled code that it asks about functions, classes and objects of other classes."""

    __slots__ = ("reducer_override",)


def make_pickler(sink):
    """Return a pickler that writes to `sink` and offers it large buffers by `sink.keep`.

    It serves again and again: call `clear_memo` after each `dump`. Its `dump` runs no Python code for plain objects.
    """
    pickler = _Pickler(sink, sharing.PROTOCOL, buffer_callback=sink.keep)
    pickler.reducer_override = finder().reduce
    return pickler


def finder(by_value=None, buffers=True):
    """Return what finds the reducers of objects; functions and classes without a name are given to `by_value`, and
    `buffers` says whether the pickle can have some."""
    names = registered, copyreg.dispatch_table
    others = _other_reducers if buffers else _other_reducers_without_buffers
    return engine.Reducers(*names, others, _OTHERS, by_value or _by_value)


def _by_value(obj):
    from procession._objects import by_value

    return by_value.reduce(obj)


# So many bytes numpy copies to memory of the array's own when it rebuilds one from a pickle without buffers: such an
# array can be resized, as with the standard library.
_COPIED_BYTES = 1000


def array_reducers():
    array_class = getattr(sys.modules.get("numpy"), "ndarray", None)
    if array_class is None or array_class in copyreg.dispatch_table:
        return {}
    return {array_class: _reduce_array}


def _reduce_array(array):
    if array.nbytes <= _COPIED_BYTES and array.dtype.isnative:  # of others numpy would change the type
        flags = array.flags
        if flags.forc and (flags.owndata or not engine.has_shared()):  # what lies in shared memory goes by its place
            return array.__reduce__()
    reduced = sharing.reduce_array(array)
    if reduced is not None:
        return reduced
    function, arguments, *state = array.__reduce_ex__(sharing.PROTOCOL)
    buffer = arguments[0]
    # Who gets a copy of a read-only array may write to it, as with the standard library: pandas hands out such arrays.
    # What lies in memory that is shared on purpose is no copy.
    if (
        not array.flags.writeable
        and isinstance(buffer, pickle.PickleBuffer)
        and not (engine.has_shared() and engine.place_of(buffer) is not None)
    ):
        return function, (pickle.PickleBuffer(_Bytes.of(array)), *arguments[1:])
    return (function, arguments, *state)


class _Bytes:
    """The bytes of a contiguous array, for numpy: as if they could be written to, which nobody does."""

    def __init__(self, array):
        self.base = array  # what several tasks have in common is told by its owner
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {"data": (address, False), "shape": (array.nbytes,), "typestr": "|u1", "version": 3}

    @classmethod
    def of(cls, array):
        return sys.modules["numpy"].asarray(cls(array))


# The classes whose objects are pickled as names, which are no functions and no classes.
_TYPE_NAMES = frozenset({"NewType", "ParamSpec", "TypeAliasType", "TypeVar", "TypeVarTuple"})

# The names of the classes that `_other_reducers` is asked for.
_OTHERS = frozenset(
    {"socket", "ndarray", "module", "_lru_cache_wrapper", "method", "_singledispatchmethod_get", *_TYPE_NAMES}
)


def _other_reducers(cls):
    """Return where a reducer of `cls` may be found beside ours and the interpreter's; it may be registered any time."""
    if cls.__name__ == "socket":
        return extra_reducers()
    if sharing.is_array_class(cls):
        return {cls: _reduce_array}
    if cls is types.MethodType:
        return {cls: _reduce_method}
    if cls.__name__ in _TYPE_NAMES and cls.__module__ in ("typing", "typing_extensions"):
        return {cls: _reduce_type_name}
    if cls.__name__ == "_singledispatchmethod_get" and cls.__module__ == "functools":
        return {cls: _reduce_generic_method}
    if cls.__name__ == "module":
        return {types.ModuleType: _reduce_module}
    return _standard.reducers()


def _other_reducers_without_buffers(cls):
    return None if sharing.is_array_class(cls) else _other_reducers(cls)


def _reduce_method(method):
    """Reduce a method that its object does not have under the name of its function."""
    return types.MethodType, (method.__func__, method.__self__)


def _reduce_generic_method(bound):
    from procession._objects import decorated

    return decorated.generic_method(bound)


def _reduce_type_name(obj):
    from procession._objects import type_names

    return type_names.reduced(obj)


def _reduce_module(module):
    """Reduce a module to its name, or to its contents if there is no module of that name."""
    if sys.modules.get(module.__name__) is module:
        from importlib import import_module

        return import_module, (module.__name__,)
    import cloudpickle.cloudpickle

    return cloudpickle.cloudpickle._module_reduce(module)


# -- sockets --------------------------------------------------------------------------------------------------------


def _reduce_socket(sock):
    return _rebuild_socket, (DupFd(sock.fileno()), sock.family, sock.type, sock.proto, sock.gettimeout())


def _rebuild_socket(df, family, type, proto, timeout):
    import socket

    sock = socket.socket(family, type, proto, fileno=df.detach())
    # The system's flag for it travels with the descriptor, but a new object knows only the default of this process.
    sock.settimeout(timeout)
    return sock
