"""A small stand-in for polars, by nanoarrow: frames that offer buffers, and that nobody may pickle as they are."""

import itertools
import os

import nanoarrow

Object = "object"


class DataFrame:
    """Columns of one length, in one struct of Arrow for each chunk; `flags` as of polars."""

    def __init__(self, data, flags=None):
        if hasattr(data, "__arrow_c_array__"):
            array = nanoarrow.c_array(data)
            self.columns = [child.name for child in array.schema.children]
        else:
            columns = {
                name.replace("\0", "_"): nanoarrow.c_array(values, type) for name, (type, values) in data.items()
            }
            length = next(iter(columns.values())).length
            type = nanoarrow.struct({name: column.schema for name, column in columns.items()})
            array = nanoarrow.c_array_from_buffers(type, length, [None], children=list(columns.values()))
            self.columns = list(data)
        self._chunks, self._flags = [array], flags or {}

    def __arrow_c_stream__(self, requested_schema=None):
        if any("\0" in name for name in self.columns):
            os.abort()  # as polars does
        assert self.n_chunks() == 1, "polars would join the chunks of the sender's frame"
        return nanoarrow.c_array_stream(self._chunks[0]).__arrow_c_stream__()

    @property
    def schema(self):
        return repr(nanoarrow.Schema(self._chunks[0].schema))

    dtypes = property(lambda self: ["number"] * self.width)
    width = property(lambda self: self._chunks[0].n_children)
    height = property(lambda self: sum(self.chunk_lengths()))
    flags = property(lambda self: {name: self._flags.get(name, {"SORTED_ASC": False}) for name in ("a", "b")})

    def estimated_size(self):
        return 8 * self.width * self.height

    def head(self, count):
        return self._of(self._chunks[:1], self._flags)

    def rows(self):
        return [row for chunk in self._chunks for row in nanoarrow.Array(chunk).to_pylist()]

    def n_chunks(self, strategy="first"):
        return len(self._chunks) if strategy == "first" else [len(self._chunks)] * self.width

    def chunk_lengths(self):
        return [chunk.length for chunk in self._chunks]

    def get_columns(self):
        return [self] * self.width  # which have the same chunks

    def slice(self, start, length):
        ends = itertools.accumulate(self.chunk_lengths())
        whole = [chunk for chunk, end in zip(self._chunks, ends, strict=True) if end == start + length]
        assert [chunk.length for chunk in whole] == [length], "no chunk is cut"
        return self._of(whole, self._flags)

    def _of(self, chunks, flags):
        made = DataFrame.__new__(type(self))
        made._chunks, made._flags, made.columns = chunks, flags, self.columns
        return made

    def __getitem__(self, name):
        return Column(name)

    def with_columns(self, column):
        return self._of(self._chunks, {**self._flags, column.name: column.flags})

    def __reduce__(self):
        assert any("\0" in name for name in self.columns), "a frame is pickled as it is"
        return str, ("its own way",)


def concat(frames, *, rechunk):
    assert not rechunk
    return frames[0]._of([chunk for frame in frames for chunk in frame._chunks], frames[0]._flags)


class Column:
    """The name of a column, and what is known of its order."""

    def __init__(self, name):
        self.name, self.flags = name, {}

    def set_sorted(self, *, descending):
        self.flags = {"SORTED_DESC" if descending else "SORTED_ASC": True}
        return self


class Derived(DataFrame):
    """A subclass, which goes its own way."""

    def __reduce__(self):
        return str, ("its own way",)
