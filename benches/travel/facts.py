"""What there is to say of a value, by words: two values are alike where all of it is equal."""

import hashlib


def facts(value):
    """Return a dict of what a value is; the items of it as a digest."""
    library = type(value).__module__.partition(".")[0]
    told = {"type": f"{type(value).__module__}.{type(value).__qualname__}"}
    return told | _OF_LIBRARY.get(library, _of_array)(value)


def lost(arrived, expected):
    """Return the words for what is not as it should be, a list."""
    if arrived.keys() != expected.keys():
        return ["type"]
    return [word for word in expected if arrived[word] != expected[word]]


def _digest(*buffers):
    digest = hashlib.blake2b(digest_size=16)
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def _of_array(value):
    import numpy as np

    plain = np.asarray(value)
    if plain.dtype.hasobject:
        return _of_shapes(plain)
    told = {"dtype": str(plain.dtype), "shape": plain.shape, "order": (plain.strides, value.flags.c_contiguous)}
    told |= {"flags": (value.flags.writeable, value.flags.aligned)}
    if isinstance(value, np.ma.MaskedArray):
        told |= {"mask": _digest(value.mask.tobytes()), "fill value": str(value.fill_value)}
    return told | {"items": _digest(plain.tobytes("A"))}


def _of_shapes(value):
    import shapely

    told = {"kind": _digest(shapely.get_type_id(value)), "reference system": _digest(shapely.get_srid(value))}
    return told | {"shape": value.shape, "items": _digest(*shapely.to_wkb(value))}


def _of_pandas(value):
    told = {"dtypes": str(value.dtypes.to_dict()), "columns": repr(value.columns), "flags": repr(value.flags)}
    index = value.index
    told |= {"index": (repr(index), _digest(index.to_numpy().tobytes())), "`attrs`": repr(value.attrs)}
    return told | {"items": _digest(*(value[name].to_numpy().tobytes() for name in value))}


def _of_polars(value):
    series = value.get_columns()
    told = {"schema": str(value.schema), "chunks": [one.n_chunks() for one in series]}
    told |= {"which are sorted": [one.flags["SORTED_ASC"] for one in series]}
    return told | {"items": _digest(*(one.to_numpy().tobytes() for one in series))}


def _of_arrow(value):
    told = {"schema": str(value.schema), "metadata": repr(value.schema.metadata)}
    told |= {"chunks": [len(one.chunks) for one in value.columns], "nulls": [one.null_count for one in value.columns]}
    return told | {"items": _digest(*(one.to_numpy().tobytes() for one in value.columns))}


def _of_xarray(value):
    told = {"dimensions": value.dims, "coordinates": repr(value.coords), "name": value.name}
    told |= {"`attrs`": repr(value.attrs), "encoding": repr(value.encoding)}
    return told | {"items": repr(_of_array(value.values))}


def _of_scipy(value):
    told = {"format": value.format, "dtype": str(value.dtype), "shape": value.shape}
    names = ("row", "col") if value.format == "coo" else ("indices", "indptr")
    told |= {"index": [_of_array(getattr(value, name)) for name in names]}
    told |= {"flags": (getattr(value, "has_sorted_indices", None), value.has_canonical_format)}
    return told | {"items": repr(_of_array(value.data))}


def _of_image(value):
    told = {"mode": value.mode, "size": value.size, "`info`": repr(value.info), "palette": repr(value.palette)}
    return told | {"items": _digest(value.tobytes())}


def _of_astropy(value):
    if not hasattr(value, "columns"):
        return {"unit": str(value.unit)} | _of_array(value)
    columns = [value[name] for name in value.colnames]
    told = {"names": value.colnames, "`meta`": repr(value.meta), "units": [str(one.unit) for one in columns]}
    told |= {"formats, descriptions": [(one.format, one.description) for one in columns]}
    return told | {"items": [_of_array(one) for one in columns]}


def _of_tensor(value):
    told = {"dtype": str(value.dtype), "shape": tuple(value.shape), "order": value.stride()}
    return told | {"flags": value.requires_grad, "items": _digest(value.contiguous().numpy().tobytes())}


_OF_LIBRARY = {
    "pandas": _of_pandas,
    "polars": _of_polars,
    "pyarrow": _of_arrow,
    "xarray": _of_xarray,
    "scipy": _of_scipy,
    "PIL": _of_image,
    "astropy": _of_astropy,
    "torch": _of_tensor,
}
