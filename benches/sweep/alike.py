"""Whether two values are the same to a user, also where `==` gives an array or compares by identity."""

import hashlib


def digest(value):
    """Return a text that is equal for values that are alike: of equal types, with equal contents."""
    text = _told(value)
    return text if len(text) < 100 else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _told(value):
    name = type(value).__name__
    if isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
        return f"{name}({', '.join(f'{_told(key)}: {_told(content)}' for key, content in value.items())})"
    if isinstance(value, (set, frozenset)):
        return f"{name}({sorted(map(_told, value))})"
    if isinstance(value, (list, tuple)):
        return f"{name}({', '.join(map(_told, value))})"
    if name in ("ndarray", "MaskedArray"):
        mask = repr(value.mask.tobytes()) if name == "MaskedArray" else ""
        order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        contents = value.tolist() if value.dtype.hasobject else value.tobytes()
        return f"{name}({value.dtype}, {value.shape}, {order}, {contents!r}{mask})"
    if name == "DataFrame" and hasattr(value, "to_csv"):
        return f"{name}({value.dtypes.to_dict()}, {value.to_csv()})"
    if hasattr(value, "tobytes") and hasattr(value, "getpixel"):
        return f"{name}({value.mode}, {value.size}, {value.tobytes()!r})"
    if hasattr(value, "tocoo"):
        numbers = value.tocoo()
        return f"{name}({value.format}, {value.shape}, {_told([numbers.row, numbers.col, numbers.data])})"
    if hasattr(value, "to_pydict"):
        return f"{name}({value.schema}, {value.to_pydict()})"
    if hasattr(value, "to_pylist"):
        return f"{name}({value.type}, {value.to_pylist()})"
    return f"{name}({value!r})"
