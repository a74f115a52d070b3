"""Arrays of the interpreter and of libraries, reduced so that their buffers stay apart from the pickle.

Whatever has its own way keeps it where that is as good. What is here keeps all that the own way keeps, and returns
`NotImplemented` for objects of which it does not know that.
"""

import _pickle as pickle  # without what `pickle` loads
import sys

from procession import _procession as engine
from procession._objects import buffers
from procession._objects.buffers import is_wanted

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["array", "derived_array", "described_array", "jax_array", "masked_array", "numbers"]


# -- numpy ------------------------------------------------------------------------------------------------------------

# So many bytes numpy copies to memory of the array's own when it rebuilds one from a pickle without buffers: such an
# array can be resized, as with the standard library.
_COPIED_BYTES = 1000


def array(value):
    """Reduce an array of exactly numpy's class."""
    if value.dtype.hasobject:
        return _array_of_objects(value)
    if value.nbytes <= _COPIED_BYTES and value.dtype.isnative:  # of others numpy would change the type
        flags = value.flags
        if flags.forc and (flags.owndata or not engine.has_shared()):  # what lies in shared memory goes by its place
            return value.__reduce__()
    reduced = buffers.reduce_array(value)
    if reduced is not None:
        return reduced
    function, arguments, *state = value.__reduce_ex__(buffers.PROTOCOL)
    buffer = arguments[0]
    # The receiver of a copy of a read-only array may write to it, as in the standard library: pandas has such arrays.
    # An array in memory that is shared on purpose is no copy.
    if (
        not value.flags.writeable
        and isinstance(buffer, pickle.PickleBuffer)
        and not (engine.has_shared() and engine.place_of(buffer) is not None)
    ):
        return function, (pickle.PickleBuffer(_Bytes.of(value)), *arguments[1:])
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


def derived_array(value):
    """Reduce an array of a subclass that is pickled as every array."""
    if value.dtype.hasobject or not is_wanted(value.nbytes):
        return NotImplemented
    return _derived, (type(value), _plain(value))


def _plain(value):
    """Return an array of numpy's own class of the same memory."""
    ndarray = sys.modules["numpy"].ndarray
    return ndarray.view(value, ndarray)


def _derived(cls, plain):
    """Return an array of a subclass in the memory of a plain one, made as from a pickle: without a template."""
    from numpy import ndarray

    if not plain.flags.forc:
        axes = sorted(range(plain.ndim), key=lambda axis: -plain.strides[axis])
        memory = plain.transpose(axes).reshape(-1)
    else:
        memory = plain.reshape(-1, order="F" if plain.flags.fnc else "C")
    return ndarray.__new__(cls, plain.shape, plain.dtype, memory.view("u1"), 0, plain.strides)


def masked_array(value):
    """Reduce a masked array."""
    import numpy.ma

    if value.dtype.hasobject or not is_wanted(value.nbytes):
        return NotImplemented
    mask = numpy.ma.getmask(value)
    mask = None if mask is numpy.ma.nomask else _plain(mask)
    return _masked, (type(value), value._baseclass, _plain(value), mask, value._fill_value)


def _masked(cls, base, plain, mask, fill_value):
    import numpy.ma

    data = plain if base is numpy.ndarray else _derived(base, plain)
    mask = numpy.ma.make_mask_none(plain.shape, plain.dtype) if mask is None else mask
    made = cls.__new__(cls, data, mask=mask, dtype=plain.dtype)
    made.fill_value = fill_value
    return made


def described_array(value):
    """Reduce an array of astropy, with all that it adds in its dict: by its own way, but without its items."""
    from numpy import ndarray

    if value.dtype.hasobject or not is_wanted(value.nbytes) or "numpy.ma" in sys.modules and _is_masked(value):
        return NotImplemented
    hollow = ndarray.__new__(type(value), (0,), value.dtype)
    hollow.__dict__.update(value.__dict__)
    return _described, (hollow, _plain(value))


def _is_masked(value):
    return isinstance(value, sys.modules["numpy.ma"].MaskedArray)


def _described(hollow, plain):
    made = _derived(type(hollow), plain)
    made.__dict__.update(hollow.__dict__)
    return made


# -- arrays of objects ------------------------------------------------------------------------------------------------

_MANY = 1000  # from so many objects on


def _array_of_objects(value):
    """Reduce an array of shapes, or of bytes, as which geopandas sends them, as one buffer; all others as they are."""
    if value.size < _MANY or not value.flags.forc:
        return NotImplemented
    first = next((item for item in value.flat if item is not None), None)
    if type(first) is bytes:
        return _joined(value)
    shapely: Any = sys.modules.get("shapely")
    if first is None or not isinstance(first, getattr(shapely, "Geometry", ())):
        return NotImplemented
    # In the usual form of bytes a ring is a line like any other.
    if not shapely.is_valid_input(value).all() or (shapely.get_type_id(value) == shapely.GeometryType.LINEARRING).any():
        return NotImplemented
    return _shapes, (shapely.to_wkb(value, include_srid=True),)


def _shapes(texts):
    import shapely

    return shapely.from_wkb(texts)


def _joined(value):
    import numpy

    order = "F" if value.flags.fnc else "C"
    items = value.ravel(order).tolist()
    if any(type(item) is not bytes and item is not None for item in items):
        return NotImplemented
    lengths = numpy.array([-1 if item is None else len(item) for item in items])
    return _split, (pickle.PickleBuffer(b"".join(filter(None, items))), lengths, value.shape, order)


def _split(buffer, lengths, shape, order):
    import numpy

    everything, start = bytes(buffer), 0
    made = numpy.empty(len(lengths), dtype=object)
    for index, length in enumerate(lengths.tolist()):
        if length >= 0:
            made[index] = everything[start : start + length]
            start += length
    return made.reshape(shape, order=order)


# -- arrays of the interpreter and of jax -----------------------------------------------------------------------------


def numbers(value):
    """Reduce an `array.array`."""
    view = memoryview(value)
    if value.typecode == "u" or not is_wanted(view.nbytes):
        return NotImplemented
    return _numbers, (type(value), value.typecode, pickle.PickleBuffer(view.cast("B")))


def _numbers(cls, typecode, buffer):
    made = cls(typecode)
    made.frombytes(buffer)
    return made


def jax_array(value):
    """Reduce an array of jax whose type is its own."""
    if value.aval.weak_type or not is_wanted(value.nbytes):
        return NotImplemented
    return _jax_array, (value._value,)


def _jax_array(plain):
    import jax

    return jax.device_put(plain)
