"""Large values of libraries, each with what its own pickle keeps and a careless copy would lose."""

import pickle
from typing import NamedTuple

# Of the items of a value, so that a copy of it can be told from what else a process uses.
MIB = 16


class Kind(NamedTuple):
    """A kind of value: the library that has to be there, and the function that makes one of so many bytes."""

    library: str
    make: object


def _numbers(size, columns=None):
    import numpy as np

    numbers = np.arange(size // 8, dtype="f8")
    return numbers if columns is None else numbers[: numbers.size // columns * columns].reshape(-1, columns)


def _of_fortran(size):
    import numpy as np

    return np.asfortranarray(_numbers(size, 64))


def _records(size):
    import numpy as np

    records = np.zeros(size // 16, dtype=[("when", "M8[s]"), ("what", "<i4"), ("who", "S4")])
    records["what"] = np.arange(len(records))
    return records.view(np.recarray)


def _matrix(size):
    import numpy as np

    return _numbers(size, 64).view(np.matrix)


def _masked(size):
    import numpy as np

    numbers = _numbers(size)
    return np.ma.array(numbers, mask=numbers % 7 == 0, fill_value=-3.5)


def _pandas(size):
    import pandas as pd

    rows = _numbers(size, 8)
    frame = pd.DataFrame(rows, columns=list("abcdefgh"), index=pd.date_range("2001", periods=len(rows), freq="min"))
    frame.index.name = "when"
    frame.attrs["source"] = "a sensor"
    return frame.set_flags(allows_duplicate_labels=False)


def _polars(size):
    import polars as pl

    rows = _numbers(size, 4)
    halves = (rows[: len(rows) // 2], rows[len(rows) // 2 :])
    parts = [pl.DataFrame({name: half[:, at].copy() for at, name in enumerate("abcd")}) for half in halves]
    return pl.concat(parts, rechunk=False).with_columns(pl.col("a").set_sorted())


def _arrow(size):
    import pyarrow as pa

    numbers = _numbers(size // 2)
    halves = (numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :])
    columns = {"a": pa.chunked_array([pa.array(half) for half in halves])}
    columns["b"] = pa.chunked_array([pa.array(half, mask=half % 7 == 0) for half in halves])
    return pa.table(columns).replace_schema_metadata({"source": "a sensor"})


def _part_of_arrow(size):
    return _arrow(10 * size)[-(10 * size // 16) // 10 :]


def _xarray(size):
    import xarray as xr

    rows = _numbers(size, 64)
    made = xr.DataArray(rows, dims=("y", "x"), coords={"x": range(64)}, name="heat", attrs={"unit": "K"})
    made.encoding["dtype"] = "f4"
    return made


def _sparse(form):
    def make(size):
        import numpy as np
        from scipy import sparse

        items = size // 16
        indices = np.tile(np.arange(64, dtype="i4"), items // 64)
        starts = np.arange(items // 64 + 1, dtype="i4") * 64
        rows = sparse.csr_array((_numbers(items * 8)[: len(indices)], indices, starts), shape=(items // 64, 64))
        return rows.asformat(form)

    return make


def _image(size):
    from PIL import Image

    side = int((size / 4) ** 0.5) - 16  # of four bytes a pixel in memory, and in one piece
    image = Image.frombytes("RGB", (side, side), bytes(range(256)) * (side * side * 3 // 256 + 1))
    image.info["dpi"] = (300, 300)
    return image


def _quantity(size):
    from astropy import units

    return _numbers(size, 64) * units.Unit("km / s")


def _table(size):
    from astropy import units
    from astropy.table import Table

    rows = _numbers(size, 4)
    table = Table([rows[:, at].copy() for at in range(4)], names=list("abcd"), meta={"source": "a telescope"})
    table["a"].unit, table["a"].format, table["a"].description = units.m, "%.1f", "how far"
    return table


def _lines(size):
    import shapely

    corners = _numbers(size, 2)
    corners = corners[: len(corners) // 128 * 128].reshape(-1, 128, 2)
    return shapely.set_srid(shapely.linestrings(corners), 4326)


def _tensor(size):
    import torch

    return torch.arange(size // 8, dtype=torch.float64).reshape(-1, 64).t()


KINDS = {
    "numpy: array": Kind("numpy", lambda size: _numbers(size, 64)),
    "numpy: array in Fortran's order": Kind("numpy", _of_fortran),
    "numpy: recarray with dates": Kind("numpy", _records),
    "numpy: matrix": Kind("numpy", _matrix),
    "numpy: masked array": Kind("numpy", _masked),
    "pandas: frame": Kind("pandas", _pandas),
    "polars: frame of two chunks": Kind("polars", _polars),
    "pyarrow: table of two chunks": Kind("pyarrow", _arrow),
    "pyarrow: a tenth of a table": Kind("pyarrow", _part_of_arrow),
    "xarray: array with names": Kind("xarray", _xarray),
    "scipy: sparse, `csr`": Kind("scipy", _sparse("csr")),
    "scipy: sparse, `coo`": Kind("scipy", _sparse("coo")),
    "Pillow: image": Kind("PIL", _image),
    "astropy: quantity": Kind("astropy", _quantity),
    "astropy: table": Kind("astropy", _table),
    "shapely: array of lines": Kind("shapely", _lines),
    "torch: transposed tensor": Kind("torch", _tensor),
}


def make(name, mib=MIB):
    """Make a value of a kind, of so many MiB: the same in every process."""
    return KINDS[name].make(mib << 20)


def by_pickle(value):
    """Return what plain pickle makes of a value."""
    return pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
