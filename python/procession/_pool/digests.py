"""What tells whether a function or an item is the one of another run of the program."""

import functools
import hashlib
import io
import pickle
import struct
import types
import zlib

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["function_digest", "item_digest", "item_digests"]

# Equal values of these kinds have equal pickles.
_SCALARS = frozenset((int, float, complex, bool, str, bytes, type(None)))
_PROTOCOL = 5
_SMALL = 1 << 30  # int: its own digest, which is no other's in its map
_SHORT = 64
# Where the digests of objects begin that are equal, or have equal bytes, and are of different types.
_OF_INT, _OF_STR = 0x5BD1E995, 0x2C1B3C6D
_OF: "dict[type, int]" = {tuple: 0x297A2D39, list: 0x1B873593}
# A set of names of built-in code: what a module is called in the program and in its children.
_MAIN = ("__main__", "__mp_main__")


def item_digest(item: "Any") -> int:
    """Return a number of 32 bits for an object: equal in each run of a program, another one for almost every other
    object; 0 for what cannot be pickled, which is equal to all."""
    kind = type(item)
    if kind is int:
        if -_SMALL < item < _SMALL:
            return item & 0xFFFFFFFF ^ _OF_INT
        return zlib.crc32(str(item).encode(), _OF_INT) or 1
    if kind is str:
        return zlib.crc32(item.encode(errors="surrogatepass"), _OF_STR) or 1
    if kind in _SCALARS:
        return zlib.crc32(pickle.dumps(item, _PROTOCOL)) or 1
    if (kind is tuple or kind is list) and len(item) <= _SHORT and _SCALARS.issuperset(map(type, item)):
        return zlib.crc32(struct.pack(f"{len(item)}I", *map(item_digest, item)), _OF[kind]) or 1
    try:
        return _walked(item, True)
    except (RecursionError, ValueError):  # it holds itself
        try:
            return _walked(item, False)
        except Exception:
            return 0
    except Exception:
        return 0


def item_digests(items: "list[Any]") -> "list[int]":
    """Return the digest of each of several objects."""
    kinds = {*map(type, items)}
    if kinds == {int} and min(items) > -_SMALL and max(items) < _SMALL:
        return [item & 0xFFFFFFFF ^ _OF_INT for item in items]
    return [item_digest(item) for item in items]


def _walked(item, fast):
    file = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _Pickler(file, _PROTOCOL, buffer_callback=buffers.append)
    pickler.fast = fast  # without a memory of what it has met: equal strings may be one object today, and two tomorrow
    pickler.dump(item)
    digest = zlib.crc32(file.getbuffer())
    for buffer in buffers:
        digest = zlib.crc32(buffer.raw(), digest)
    return digest or 1


class _Pickler(pickle.Pickler):
    """Writes sets in an order that is no accident, and functions that have no name by what they do."""

    def persistent_id(self, obj):
        kind = type(obj)
        if kind is set or kind is frozenset:
            return kind.__name__, sorted(map(item_digest, obj))
        if kind is types.FunctionType and "<" in obj.__qualname__:
            return "function", function_digest(obj)
        return None


def function_digest(function: "Callable[..., Any]") -> str:
    """Return a text for what a function does: its name, its code, its defaults, the variables that it brings along; not
    what it reads of its module, nor the functions that it calls."""
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, function)
    return digest.hexdigest()


def _feed(digest, function):
    def add(*texts):
        for text in texts:
            data = text if isinstance(text, bytes) else str(text).encode(errors="surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)

    if isinstance(function, functools.partial):
        add("partial", item_digest(function.args), item_digest(sorted(function.keywords.items())))
        _feed(digest, function.func)
    elif isinstance(function, types.MethodType):
        add("method", item_digest(function.__self__))
        _feed(digest, function.__func__)
    elif isinstance(function, types.FunctionType):
        add("function", _module(function), function.__qualname__)
        add(item_digest(function.__defaults__), item_digest(sorted((function.__kwdefaults__ or {}).items())))
        _feed_code(add, function.__code__)
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            if value is not function:
                add("cell", item_digest(value))
    elif hasattr(function, "__qualname__"):
        add("name", _module(function), function.__qualname__)
    else:
        add("object", _module(type(function)), type(function).__qualname__, item_digest(function))


def _module(obj):
    module = getattr(obj, "__module__", None)
    return "__main__" if module in _MAIN else module


def _feed_code(add, code):
    # Not the numbers of its lines: what stands above may change.
    add(code.co_name, code.co_code, *code.co_names, *code.co_varnames, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _feed_code(add, constant)
        else:
            add(item_digest(constant))
