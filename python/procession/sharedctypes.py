"""ctypes objects in shared memory, with a lock or without."""

import ctypes

from procession import _procession as engine, heap, process, reduction
from procession.synchronize import RLock

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Generic

    from procession._typed.sharedctypes import (
        _C,
        _T,
        Array as Array,
        Elements as _Elements,
        Held as _Held,
        RawArray as RawArray,
        RawValue as RawValue,
        Value as Value,
    )
    from procession.context import BaseContext
    from procession.synchronize import Lock
else:
    from procession._standard import Generic

    _T = _C = None
    _Held = _Elements = Generic

__all__ = ["Array", "RawArray", "RawValue", "Value", "copy", "synchronized"]

typecode_to_type = {
    "c": ctypes.c_char, "u": ctypes.c_wchar,
    "b": ctypes.c_byte, "B": ctypes.c_ubyte,
    "h": ctypes.c_short, "H": ctypes.c_ushort,
    "i": ctypes.c_int, "I": ctypes.c_uint,
    "l": ctypes.c_long, "L": ctypes.c_ulong,
    "q": ctypes.c_longlong, "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float, "d": ctypes.c_double,
}  # fmt: skip

# The types of which a value is a number, which the engine reads and writes by itself.
_letter_of_number: dict[type, str] = {ctype: letter for letter, ctype in typecode_to_type.items() if letter not in "cu"}


def _type_of(typecode_or_type):
    try:
        ctype = typecode_to_type.get(typecode_or_type, typecode_or_type)
        ctypes.sizeof(ctype)
    except TypeError:
        codes = ", ".join(typecode_to_type)
        raise TypeError(f"bad typecode {typecode_or_type!r}: it must be a ctypes type or one of {codes}") from None
    return ctype


def _new(ctype):
    wrapper = heap.BufferWrapper(ctypes.sizeof(ctype))
    return _place(ctype, wrapper)


def _place(ctype, wrapper):
    obj = ctype.from_buffer(wrapper.create_memoryview())
    # The block lives as long as the object, and is how children find it.
    obj._wrapper = wrapper
    reduction.register(ctype, reduce_ctype)
    return obj


if not TYPE_CHECKING:  # their overloads: `_typed.sharedctypes`

    def RawValue(typecode_or_type, *args):
        """Return a ctypes object in shared memory, without a lock.

        Args:
            typecode_or_type: a ctypes type, or a letter as the `array` module has them.
            args: what the type is called with.
        """
        obj = _new(_type_of(typecode_or_type))
        ctypes.memset(ctypes.addressof(obj), 0, ctypes.sizeof(obj))
        obj.__init__(*args)
        return obj

    def RawArray(typecode_or_type, size_or_initializer):
        """Return a ctypes array in shared memory, without a lock.

        Args:
            typecode_or_type: a ctypes type, or a letter as the `array` module has them.
            size_or_initializer: how many elements, all zero, or a sequence of them.
        """
        ctype = _type_of(typecode_or_type)
        if isinstance(size_or_initializer, int):
            obj = _new(ctype * size_or_initializer)
            ctypes.memset(ctypes.addressof(obj), 0, ctypes.sizeof(obj))
            return obj
        obj = _new(ctype * len(size_or_initializer))
        obj.__init__(*size_or_initializer)
        return obj

    def Value(typecode_or_type, *args, lock=True, ctx=None):
        """Return a ctypes object in shared memory with a lock.

        Args:
            lock: True for a new `RLock`, a lock, or False for none: then it is a raw object.
        """
        return _with_lock(RawValue(typecode_or_type, *args), lock, ctx)

    def Array(typecode_or_type, size_or_initializer, *, lock=True, ctx=None):
        """Return a ctypes array in shared memory with a lock.

        Args:
            lock: True for a new `RLock`, a lock, or False for none: then it is a raw array.
        """
        return _with_lock(RawArray(typecode_or_type, size_or_initializer), lock, ctx)


def _with_lock(obj, lock, ctx):
    if lock is False:
        return obj
    if lock is True or lock is None:
        lock = RLock(ctx=ctx)
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"{lock!r} has no method 'acquire'")
    return synchronized(obj, lock, ctx=ctx)


def copy(obj: "_C") -> "_C":
    """Return a copy of a ctypes object, in shared memory."""
    new = _new(type(obj))
    ctypes.pointer(new)[0] = obj
    return new


def synchronized(obj: "Any", lock: "Lock | RLock | None" = None, ctx: "BaseContext | None" = None) -> "Any":
    """Return a wrapper of a ctypes object in shared memory that holds a lock for every access."""
    assert not isinstance(obj, SynchronizedBase), "object already synchronized"
    if isinstance(obj, ctypes._SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        if obj._type_ is ctypes.c_char:
            return SynchronizedString(obj, lock, ctx)
        return SynchronizedArray(obj, lock, ctx)
    cls = type(obj)
    wrapper = _wrappers.get(cls)
    if wrapper is None:
        fields = [name for name, *_ in cls._fields_]
        members = {name: engine.Guarded(name) for name in fields}
        wrapper = _wrappers[cls] = type(f"Synchronized{cls.__name__}", (SynchronizedBase,), members)
    return wrapper(obj, lock, ctx)


_wrappers: "dict[type, type]" = {}


def reduce_ctype(obj: "Any") -> "Any":
    """Return what rebuilds an object in the child that is being started."""
    wrapper = getattr(obj, "_wrapper", None)
    if wrapper is None:
        # Not ours: by value, as any pickle of it.
        return obj.__reduce_ex__(2)
    ctype, length = type(obj), None
    if isinstance(obj, ctypes.Array):
        # Array types have no name that a pickle could hold.
        ctype, length = obj._type_, obj._length_
    return rebuild_ctype, (ctype, wrapper, length)


def rebuild_ctype(ctype: "Any", wrapper: "heap.BufferWrapper", length: int | None) -> "Any":
    """Return the object that another process has in a block of shared memory."""
    return _place(ctype if length is None else ctype * length, wrapper)


def _numbers_of(obj):
    """Return the numbers that an object in our memory is made of, or None."""
    wrapper = getattr(obj, "_wrapper", None)
    if wrapper is None:
        return None
    array = isinstance(obj, ctypes.Array)
    kind: type = obj._type_ if array else type(obj)
    letter = _letter_of_number.get(kind)
    return letter and wrapper.numbers(letter, len(obj) if array else 1)


class SynchronizedBase(_Held[_C], engine.SynchronizedBase):
    """A ctypes object with its lock.

    Args:
        obj: the object.
        lock: anything with `acquire` and `release`; None for a new `RLock`.
        ctx: the context it is for.
    """

    acquire: "Callable[..., bool]"
    release: "Callable[[], None]"

    def __new__(cls, obj, lock=None, ctx=None):
        return super().__new__(cls, obj, RLock(ctx=ctx) if lock is None else lock, _numbers_of(obj))

    def __init__(self, obj: "Any", lock: "Lock | RLock | None" = None, ctx: "BaseContext | None" = None) -> None:
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __reduce__(self):
        process.assert_spawning(self)
        return _rebuild_synchronized, (*reduce_ctype(self._obj)[1], self._lock)

    def __repr__(self):
        return f"<{type(self).__name__} wrapper for {self._obj}>"


def _rebuild_synchronized(ctype, wrapper, length, lock):
    return synchronized(rebuild_ctype(ctype, wrapper, length), lock)


class Synchronized(SynchronizedBase["ctypes._SimpleCData[_T]"], Generic[_T]):
    """A simple object, with a `value`."""

    value: "_T" = engine.SynchronizedBase._value


class SynchronizedArray(SynchronizedBase["Any"], _Elements[_T], engine.SynchronizedArray):
    """An array: elements and slices of it."""

    def __getslice__(self, start, stop):
        with self._lock:
            return self._obj[start:stop]

    def __setslice__(self, start, stop, values):
        with self._lock:
            self._obj[start:stop] = values


class SynchronizedString(SynchronizedArray[bytes]):
    """An array of characters, with `value` up to the first NUL, and `raw`."""

    value: bytes = engine.Guarded("value")  # type: ignore[assignment]
    raw: bytes = engine.Guarded("raw")  # type: ignore[assignment]
