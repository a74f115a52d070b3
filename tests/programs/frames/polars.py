"""A small stand-in for polars, by nanoarrow: frames that offer buffers, and that nobody may pickle as they are."""

import os

import nanoarrow

Object = "object"


class DataFrame:
    """Columns of one length, in one struct of Arrow; `flags` as of polars."""

    def __init__(self, data, flags=None):
        if hasattr(data, "__arrow_c_array__"):
            self._array = nanoarrow.c_array(data)
            self.columns = [child.name for child in self._array.schema.children]
        else:
            columns = {
                name.replace("\0", "_"): nanoarrow.c_array(values, type) for name, (type, values) in data.items()
            }
            length = next(iter(columns.values())).length
            type = nanoarrow.struct({name: column.schema for name, column in columns.items()})
            self._array = nanoarrow.c_array_from_buffers(type, length, [None], children=list(columns.values()))
            self.columns = list(data)
        self._flags = flags or {}

    def __arrow_c_stream__(self, requested_schema=None):
        if any("\0" in name for name in self.columns):
            os.abort()  # as polars does
        return nanoarrow.c_array_stream(self._array).__arrow_c_stream__()

    @property
    def schema(self):
        return repr(nanoarrow.Schema(self._array.schema))

    dtypes = property(lambda self: ["number"] * self.width)
    width = property(lambda self: self._array.n_children)
    height = property(lambda self: self._array.length)
    flags = property(lambda self: {name: self._flags.get(name, {"SORTED_ASC": False}) for name in ("a", "b")})

    def estimated_size(self):
        return 8 * self.width * self.height

    def head(self, count):
        return self

    def rows(self):
        return nanoarrow.Array(self._array).to_pylist()

    def __getitem__(self, name):
        return Column(name)

    def with_columns(self, column):
        made = DataFrame.__new__(type(self))
        made._array, made.columns = self._array, self.columns
        made._flags = {**self._flags, column.name: column.flags}
        return made

    def __reduce__(self):
        assert any("\0" in name for name in self.columns), "a frame is pickled as it is"
        return str, ("its own way",)


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
