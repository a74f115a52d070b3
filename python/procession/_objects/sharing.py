"""Objects whose arrays lie in memory that processes share, and which therefore travel by reference."""

import _pickle as pickle  # without what `pickle` loads
import io

from procession import _procession as engine
from procession import process
from procession._objects.descriptors import DupFd

TYPE_CHECKING = False  # what checkers take for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import TypeVar, overload

    _T = TypeVar("_T")

__all__ = ["share"]

PROTOCOL = 5  # the highest
# What pickling raises for what cannot be pickled.
NOT_BY_NAME = (pickle.PicklingError, AttributeError, TypeError)
# Arrays begin at multiples of this, as numpy's own large ones do.
_ALIGNMENT = 64


if TYPE_CHECKING:

    @overload
    def share(obj: bytes | bytearray | memoryview, *, writable: bool = False) -> memoryview: ...
    @overload
    def share(obj: _T, *, writable: bool = False) -> _T: ...


def share(obj, *, writable=False):
    """Return a copy of `obj` whose buffers lie in shared memory.

    The copy can be given to tasks, processes, queues and pipes any number of times: what travels is where its memory
    is, and whoever receives it sees the same memory, which is freed with the last object that refers to it in any
    process. Keep the copy until others have received it.

    Args:
        obj: a numpy array, bytes, a bytearray or a memoryview, or any object with arrays in it that can be pickled.
            Bytes, bytearrays and memoryviews become memoryviews; bytes and bytearrays within other objects stay what
            they are and are copied as usual.
        writable: whether the buffers can be written to. What one process writes, the others see; nothing guards it but
            what the program uses for that, such as a `Lock`. Arrays that are read-only stay so.

    Returns:
        An object equal to `obj`; arrays have the same type, shape and dtype.

    Raises:
        TypeError: there is nothing in `obj` that could lie in shared memory.
        OSError: there is not enough memory.
        Exception: what pickling `obj` raises.
    """
    if isinstance(obj, (bytes, bytearray, memoryview)):
        return _share_bytes(memoryview(obj), writable)
    found = []
    file = io.BytesIO()
    _ArrayPickler(file, PROTOCOL, buffer_callback=found.append).dump(obj)
    if not found:
        raise TypeError(
            f"nothing in this {type(obj).__name__} can lie in shared memory: give share() an array, bytes, "
            "or an object that holds arrays"
        )
    raws = [buffer.raw() for buffer in found]
    memory = engine.share_memory(sum(_padded(raw.nbytes) for raw in raws))
    start, buffers = 0, []
    for raw in raws:
        target = memory[start : start + raw.nbytes]
        target[:] = raw
        buffers.append(target if writable else target.toreadonly())
        start += _padded(raw.nbytes)
    return pickle.loads(file.getbuffer(), buffers=buffers)


def _padded(size):
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _share_bytes(view, writable):
    flat = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    target = engine.share_memory(flat.nbytes)
    target[:] = flat
    shared = target if writable else target.toreadonly()
    return _like(shared, view.format, view.shape)


def _like(view, format, shape):
    """Return a memoryview of bytes with the items and the shape of another."""
    if format == "B" and len(shape) == 1 or view.nbytes == 0:
        return view
    return view.cast(format, shape) if format in _CASTABLE else view


# What a memoryview can be cast to.
_CASTABLE = frozenset("cbBhHiIlLqQnNfdP?")


class _ArrayPickler(pickle.Pickler):
    """Offers the buffers of arrays of any layout, and of memoryviews."""

    def reducer_override(self, obj):
        if type(obj) is memoryview:
            return reduce_memoryview(obj)
        return is_array_class(type(obj)) and reduce_array(obj) or NotImplemented


def is_array_class(cls):
    """Return whether a class is numpy's array itself."""
    return cls.__name__ == "ndarray" and cls.__module__ == "numpy"


def reduce_array(array):
    """Return how to rebuild a numpy array of which numpy offers no buffer although it could; None for all others."""
    dtype = array.dtype
    if dtype.kind in "mM":
        # Dates and times, which have no format of buffers: as the integers that they are.
        return _with_type, (array.view("i8"), dtype)
    if array.flags.forc or dtype.hasobject:
        return None
    dense, axes = _with_largest_steps_first(array)
    if not dense.flags.c_contiguous:
        dense, axes = _with_largest_steps_first(array.copy("K"))
    if axes == sorted(axes):
        return dense.__reduce_ex__(PROTOCOL)
    return _with_axes, (dense, sorted(range(len(axes)), key=axes.__getitem__))


def _with_largest_steps_first(array):
    axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    return array.transpose(axes), axes


def _with_axes(array, axes):
    return array.transpose(axes)


def _with_type(array, dtype):
    return array.view(dtype)


def reduce_memoryview(view):
    """Return how to rebuild a memoryview: as one of a copy of its bytes, or of the same shared memory."""
    if not view.c_contiguous:
        copy = view.tobytes() if view.readonly else bytearray(view.tobytes())
        view = _like(memoryview(copy), view.format, view.shape)
    return _rebuild_memoryview, (pickle.PickleBuffer(view), view.format, view.shape)


def _rebuild_memoryview(buffer, format, shape):
    view = memoryview(buffer)
    return _like(view if view.format == "B" and view.ndim == 1 else view.cast("B"), format, shape)


# -- on the way -----------------------------------------------------------------------------------------------------


class Envelope:
    """The pickle of an object without its buffers in shared memory, and where these are.

    Args:
        pickled: the pickle.
        places: those of the buffers that are missing, in order: `(process, descriptor, inode, offset, size)`.
    """

    def __init__(self, pickled, places):
        self._pickled = pickled
        self._places = places

    def __reduce__(self):
        inherited = {}
        if process.get_spawning_popen() is not None:
            # A child that is started has the descriptors, whatever becomes of this process.
            inherited = {inode: DupFd(descriptor) for _, descriptor, inode, _, _ in self._places}
        return _open, (self._pickled, self._places, list(inherited.values()))


def _open(pickled, places, inherited):
    # What is attached here is found by its place below.
    held = [engine.attach_shared(copy.detach()) for copy in inherited]
    buffers = [engine.find_shared(*place) for place in places]
    del held
    return pickle.loads(pickled, buffers=buffers)


def dump(pickler_class, obj, file, protocol):
    """Write the pickle of `obj` to a file by a class of pickler; what lies in shared memory is sent as where it is."""
    if not engine.has_shared():
        pickler_class(file, protocol).dump(obj)
        return
    inner, parts = io.BytesIO(), []

    def keep(buffer):
        place = engine.place_of(buffer)
        if place is not None:
            parts.append(place)
        return place is None

    pickler_class(inner, PROTOCOL, buffer_callback=keep).dump(obj)
    if parts:
        pickler_class(file, protocol).dump(Envelope(inner.getvalue(), parts))
    else:
        file.write(inner.getbuffer())
