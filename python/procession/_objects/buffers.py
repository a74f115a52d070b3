"""Buffers that stay apart from pickles: of arrays and memoryviews of any layout, and on the way in shared memory."""

import _pickle as pickle  # without what `pickle` loads
import io
from _thread import _local

from procession import _procession as engine, process
from procession._objects.descriptors import DupFd

__all__ = [
    "NOT_BY_NAME",
    "PROTOCOL",
    "Envelope",
    "dump",
    "is_wanted",
    "like",
    "reduce_array",
    "reduce_memoryview",
    "shares",
]

PROTOCOL = 5  # the highest
# The exceptions of pickling for an object that cannot be pickled.
NOT_BY_NAME = (pickle.PicklingError, AttributeError, TypeError)

shares = _local()  # whether this thread makes a copy in shared memory


def is_wanted(size):
    """Return whether a buffer of so many bytes is kept apart: if it is large, or may lie in shared memory."""
    return size >= engine.LARGE or size > 0 and (engine.has_shared() or getattr(shares, "now", False))


def reduce_array(array):
    """Return how to rebuild a numpy array of which numpy offers no buffer although it could; None for all others."""
    dtype = array.dtype
    if dtype.kind in "mM":
        # Dates and times, which have no format of buffers: as the integers that they are.
        return _with_type, (array.view("i8"), dtype)
    if array.flags.forc or dtype.hasobject:
        return None if dtype.hasobject or dtype.isbuiltin == 1 or _has_buffer(array) else _as_bytes(array)
    dense, axes = _with_largest_steps_first(array)
    if not dense.flags.c_contiguous:
        dense, axes = _with_largest_steps_first(array.copy("K"))
    if axes == sorted(axes):
        return dense.__reduce_ex__(PROTOCOL)
    return _with_axes, (dense, sorted(range(len(axes)), key=axes.__getitem__))


def _has_buffer(array):
    try:
        pickle.PickleBuffer(array)
    except (BufferError, TypeError, ValueError):
        return False
    return True


def _as_bytes(array):
    """Reduce an array whose items have no format of buffers, such as records with dates in them."""
    return _with_type, (array.view(f"V{array.itemsize}"), array.dtype)


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
        view = like(memoryview(copy), view.format, view.shape)
    return _rebuild_memoryview, (pickle.PickleBuffer(view), view.format, view.shape)


def _rebuild_memoryview(buffer, format, shape):
    view = memoryview(buffer)
    return like(view if view.format == "B" and view.ndim == 1 else view.cast("B"), format, shape)


def like(view, format, shape):
    """Return a memoryview of bytes with the items and the shape of another."""
    if format == "B" and len(shape) == 1 or view.nbytes == 0:
        return view
    return view.cast(format, shape) if format in _CASTABLE else view


# The formats that a memoryview can be cast to.
_CASTABLE = frozenset("cbBhHiIlLqQnNfdP?")


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
    # Memory that is attached here is found by its place below.
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
