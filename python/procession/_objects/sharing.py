"""Objects whose arrays lie in memory that processes share, and which therefore travel by reference."""

import _pickle as pickle  # without what `pickle` loads
import io

from procession import _procession as engine
from procession._objects import buffers, reducers
from procession._objects.buffers import PROTOCOL

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from procession._typed.shared import share as share

__all__ = ["share"]

# Arrays begin at multiples of this, as numpy's own large ones do.
_ALIGNMENT = 64


if not TYPE_CHECKING:  # its overloads: `_typed.shared`

    def share(obj, *, writable=False):
        """Return a copy of `obj` whose buffers lie in shared memory.

        The copy can be given to tasks, processes, queues and pipes any number of times: what travels is where its
        memory is, and whoever receives it sees the same memory, which is freed with the last object that refers to it
        in any process. Keep the copy until others have received it.

        Args:
            obj: a numpy array, bytes, a bytearray or a memoryview, or any object with arrays in it that can be pickled.
                Bytes, bytearrays and memoryviews become memoryviews; bytes and bytearrays within other objects stay
                what they are and are copied as usual.
            writable: whether the buffers can be written to. What one process writes, the others see; nothing guards it
                but what the program uses for that, such as a `Lock`. Arrays that are read-only stay so.

        Returns:
            An object equal to `obj`; arrays have the same type, shape and dtype.

        Raises:
            TypeError: there is nothing in `obj` that could lie in shared memory.
            OSError: there is not enough memory.
            Exception: what pickling `obj` raises.
        """
        return _share(obj, writable)

    share.__module__ = "procession"  # where programs find it


def _share(obj, writable):
    if isinstance(obj, (bytes, bytearray, memoryview)):
        return _share_bytes(memoryview(obj), writable)
    found = []
    file = io.BytesIO()
    buffers.shares.now = True
    try:
        _ArrayPickler(file, PROTOCOL, buffer_callback=found.append).dump(obj)
    finally:
        buffers.shares.now = False
    if not found:
        raise TypeError(
            f"nothing in this {type(obj).__name__} can lie in shared memory: give share() an array, bytes, "
            "or an object that holds arrays"
        )
    raws = [buffer.raw() for buffer in found]
    memory = engine.share_memory(sum(_padded(raw.nbytes) for raw in raws))
    start, targets = 0, []
    for raw in raws:
        target = memory[start : start + raw.nbytes]
        target[:] = raw
        targets.append(target if writable else target.toreadonly())
        start += _padded(raw.nbytes)
    return pickle.loads(file.getbuffer(), buffers=targets)


def _padded(size):
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _share_bytes(view, writable):
    flat = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    target = engine.share_memory(flat.nbytes)
    target[:] = flat
    shared = target if writable else target.toreadonly()
    return buffers.like(shared, view.format, view.shape)


class _ArrayPickler(pickle.Pickler):
    """Offers the buffers of arrays of any layout and size, and whatever all picklers of this package offer."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._reduce = reducers.finder(_by_name).reduce
        self._library = reducers.library

    def reducer_override(self, obj):
        cls = type(obj)
        if isinstance(obj, type) or engine.registered_reducer(cls) is not None:
            return self._reduce(obj)
        if cls.__name__ == "ndarray" and cls.__module__ == "numpy" and not obj.dtype.hasobject:
            return buffers.reduce_array(obj) or NotImplemented
        reduce = self._library(cls)
        return self._reduce(obj) if reduce is None else reduce(obj)


def _by_name(obj):
    return NotImplemented  # who reads the pickle is this process
