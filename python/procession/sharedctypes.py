"""ctypes objects in shared memory, with a lock or without."""

import ctypes

from procession import _procession as engine
from procession import context, heap, reduction
from procession.synchronize import RLock

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


def _type_of(typecode_or_type):
    return typecode_to_type.get(typecode_or_type, typecode_or_type)


def _new(ctype):
    wrapper = heap.BufferWrapper(ctypes.sizeof(ctype))
    return _place(ctype, wrapper)


def _place(ctype, wrapper):
    obj = ctype.from_buffer(wrapper.create_memoryview())
    # The block lives as long as the object, and is how children find it.
    obj._wrapper = wrapper
    reduction.register(ctype, reduce_ctype)
    return obj


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


def copy(obj):
    """Return a copy of a ctypes object, in shared memory."""
    new = _new(type(obj))
    ctypes.pointer(new)[0] = obj
    return new


def synchronized(obj, lock=None, ctx=None):
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


_wrappers = {}


def reduce_ctype(obj):
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


def rebuild_ctype(ctype, wrapper, length):
    """Return the object that another process has in a block of shared memory."""
    return _place(ctype if length is None else ctype * length, wrapper)


class SynchronizedBase:
    """A ctypes object with its lock."""

    def __init__(self, obj, lock=None, ctx=None):
        self._obj = obj
        self._lock = lock if lock is not None else RLock(ctx=ctx)
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __reduce__(self):
        context.assert_spawning(self)
        return _rebuild_synchronized, (*reduce_ctype(self._obj)[1], self._lock)

    def __enter__(self):
        return self._lock.__enter__()

    def __exit__(self, *exc_info):
        return self._lock.__exit__(*exc_info)

    def get_obj(self):
        """Return the object without its lock."""
        return self._obj

    def get_lock(self):
        """Return the lock."""
        return self._lock

    def __repr__(self):
        return f"<{type(self).__name__} wrapper for {self._obj}>"


def _rebuild_synchronized(ctype, wrapper, length, lock):
    return synchronized(rebuild_ctype(ctype, wrapper, length), lock)


class Synchronized(SynchronizedBase):
    """A simple object, with a `value`."""

    value = engine.Guarded("value")


class SynchronizedArray(SynchronizedBase):
    """An array: elements and slices of it."""

    def __len__(self):
        return len(self._obj)

    def __getitem__(self, index):
        with self._lock:
            return self._obj[index]

    def __setitem__(self, index, value):
        with self._lock:
            self._obj[index] = value

    def __getslice__(self, start, stop):
        with self._lock:
            return self._obj[start:stop]

    def __setslice__(self, start, stop, values):
        with self._lock:
            self._obj[start:stop] = values


class SynchronizedString(SynchronizedArray):
    """An array of characters, with `value` up to the first NUL, and `raw`."""

    value = engine.Guarded("value")
    raw = engine.Guarded("raw")
