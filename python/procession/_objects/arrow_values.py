"""Frames and images of libraries that offer their buffers by Arrow's C interface, which their own pickles copy.

Neither the library nor its Arrow is imported here but where an object of it arrives.
"""

import _pickle as pickle  # without what `pickle` loads
import itertools
import sys

from procession import _procession as engine
from procession._objects.buffers import is_wanted

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["image", "part_of_array", "polars_frame", "polars_series"]


class _Arrow:
    """What Arrow's interface hands to libraries: an array on buffers that have arrived."""

    def __init__(self, schema, parts):
        self._parts = schema, parts

    def __arrow_c_array__(self, requested_schema=None):
        return engine.arrow_whole(*self._parts)


def _apart(parts):
    """Return an array's parts with its buffers as what pickles keep apart."""
    length, nulls, offset, buffers, children, dictionary = parts
    buffers = tuple(None if buffer is None else pickle.PickleBuffer(buffer) for buffer in buffers)
    dictionary = None if dictionary is None else _apart(dictionary)
    return length, nulls, offset, buffers, tuple(map(_apart, children)), dictionary


def _bytes_in(parts):
    _, _, _, buffers, children, dictionary = parts
    own = sum(buffer.nbytes for buffer in buffers if buffer is not None)
    return own + sum(map(_bytes_in, children)) + (0 if dictionary is None else _bytes_in(dictionary))


def polars_frame(frame):
    """Reduce a frame of polars to its Arrow arrays."""
    if not is_wanted(frame.estimated_size()) or not all(map(_can_go, frame.columns, frame.dtypes)):
        return NotImplemented
    reduced = _arrow_of(frame, frame.height * frame.width, _chunks(frame))
    # Types of polars' own, should Arrow not know all of them.
    if reduced is None or _frame(*(*_arrow_of(frame.head(1), None), {})).schema != frame.schema:
        return NotImplemented
    return _frame, (*reduced, {name: flags for name, flags in frame.flags.items() if any(flags.values())})


def polars_series(series):
    """Reduce a series of polars to its Arrow arrays."""
    if not is_wanted(series.estimated_size()) or not _can_go(series.name, series.dtype):
        return NotImplemented
    reduced = _arrow_of(series, len(series))
    if reduced is None or _series(*(*_arrow_of(series.head(1), None), series.name, {})).dtype != series.dtype:
        return NotImplemented
    return _series, (*reduced, series.name, series.flags)


def _can_go(name, dtype):
    """Return whether a column can be handed out by Arrow's interface: not objects of Python, nor a name with a zero in
    it, over which polars ends the process, as the interface ends names there."""
    if "\0" in name or dtype == sys.modules["polars"].Object:
        return False
    inner = getattr(dtype, "inner", None)
    within = all(_can_go(field.name, field.dtype) for field in getattr(dtype, "fields", ()))
    return within and (inner is None or _can_go("", inner))


def _chunks(frame):
    """Return the chunks of a frame, as frames in its memory.

    polars joins a frame's chunks before it hands them out: in the frame itself, for which it copies them.
    """
    if frame.n_chunks() == 1 and max(frame.n_chunks("all")) == 1:
        return [frame]
    lengths, *others = [series.chunk_lengths() for series in frame.get_columns()]
    # No buffer of a small chunk would travel as one, and a thousand buffers cost more than copying them all.
    if any(other != lengths for other in others) or not is_wanted(frame.estimated_size() // len(lengths)):
        return [frame.clone()]
    ends = itertools.accumulate(lengths)
    return [frame.slice(end - length, length) for end, length in zip(ends, lengths, strict=True)]


def _arrow_of(value, items, pieces=None) -> "Any":
    """Return the type and the arrays of a value; None if they are unknown, or much more than the value.

    Args:
        value: a frame or a series.
        items: how many values there are in it; None to take it in any case.
        pieces: what is handed out in its place, one after the other.
    """
    found: Any = [engine.arrow_parts(piece) for piece in pieces or [value]]
    if None in found:
        return None
    schema, arrays = found[0][0], [parts for _, arrays in found for parts in arrays]
    # A slice may hold all of what it was cut out of.
    most = None if items is None else 4 * value.estimated_size() + 32 * items + (1 << 20)
    if most is not None and sum(map(_bytes_in, arrays)) > most:
        return None
    return schema, [_apart(parts) for parts in arrays]


def _frame(schema, arrays, flags):
    import polars

    parts = [polars.DataFrame(_Arrow(schema, parts)) for parts in arrays]
    made = parts[0] if len(parts) == 1 else polars.concat(parts, rechunk=False)
    for name, known in flags.items():
        made = made.with_columns(_flagged(made[name], known))
    return made


def _series(schema, arrays, name, flags):
    import polars

    parts = [polars.Series(name, _Arrow(schema, parts)) for parts in arrays]
    return _flagged(parts[0] if len(parts) == 1 else polars.concat(parts, rechunk=False), flags)


def _flagged(series, flags):
    """Return a series that knows again in which order it is."""
    if flags.get("SORTED_ASC") or flags.get("SORTED_DESC"):
        return series.set_sorted(descending=bool(flags.get("SORTED_DESC")))
    return series


# -- arrays of pyarrow ------------------------------------------------------------------------------------------------


def part_of_array(array):
    """Reduce a small part of an array of pyarrow, also where a table or a batch has it, to a copy of what it has.

    Its own way sends the buffers of the whole.
    """
    whole = array.get_total_buffer_size()
    if not is_wanted(whole) or 2 * array.nbytes > whole:
        return NotImplemented
    if engine.has_shared() and any(buffer is not None and engine.place_of(buffer) for buffer in array.buffers()):
        return NotImplemented  # what lies in shared memory goes by its place
    arrow: Any = sys.modules["pyarrow"]
    try:
        return arrow.concat_arrays([array]).__reduce__()
    except arrow.ArrowException:  # types that it cannot join
        return NotImplemented


# -- images -----------------------------------------------------------------------------------------------------------


def image(picture):
    """Reduce an image of exactly Pillow's class that lies in one piece; larger ones go their own way."""
    picture.load()
    width, height = picture.size
    if not is_wanted(width * height):
        return NotImplemented
    try:
        found: Any = engine.arrow_parts(picture)
        schema, (parts,) = found
    except (AttributeError, TypeError, ValueError):  # earlier versions, more than one piece
        return NotImplemented
    return _image, (schema, _apart(parts), picture.mode, picture.size, picture.info, picture.getpalette())


def _image(schema, parts, mode, size, info, palette):
    from PIL import Image

    made = Image.fromarrow(_Arrow(schema, parts), mode, size)
    # The receiver of a copy may write to it, which needs memory of the image's own; memory shared on purpose stays.
    if not _is_shared(parts):
        made = made.copy()
    made.info = info
    if palette and mode in ("L", "LA", "P", "PA"):
        made.putpalette(palette)
    return made


def _is_shared(parts):
    *_, buffers, children, _ = parts
    buffers = [buffer for buffer in buffers if buffer is not None]
    return any(map(_is_shared, children)) or any(
        engine.place_of(pickle.PickleBuffer(buffer)) is not None for buffer in buffers
    )
