"""What a task was given, in a few characters, for those who look at workers from outside.

No code of a program runs for it: what is no plain value of Python's own is shown by the name of its class, as its
`__repr__` may take long, ask a database, or raise.
"""

__all__ = ["given"]

MOST = 60
_PLAIN = (str, bytes, int, float, bool, complex, type(None))
_ROWS: dict[type, tuple[str, str]] = {tuple: ("(", ")"), list: ("[", "]"), set: ("{", "}"), frozenset: ("{", "}")}


def given(kind, item):
    """Return the text.

    Args:
        kind: "map", "starmap" or "apply".
        item: what travelled: the element of the iterable, or `(args, kwds)` for "apply".
    """
    if kind == "map":
        return _shown(item, MOST)
    args, kwds = item if kind == "apply" else (item, None)
    if type(args) not in (tuple, list):
        args = (args,)
    texts = [_shown(value, MOST // 2) for value in args[:4]]
    if type(kwds) is dict:
        texts += [f"{name}={_shown(kwds[name], MOST // 2)}" for name in list(kwds)[:4]]
    return ", ".join(texts)


def _shown(value, most, depth=2):
    kind = type(value)
    if kind in (str, bytes):
        text = repr(value[:most])
    elif kind in _PLAIN:
        # Of a number of a million digits nobody wants to wait for the text.
        text = f"<int of {value.bit_length()} bits>" if kind is int and value.bit_length() > 256 else repr(value)
    elif kind in _ROWS and depth:
        first, last = _ROWS[kind]
        parts = [_shown(part, most // 2, depth - 1) for part in list(value)[:4]]
        text = first + ", ".join(parts) + (", ..." if len(value) > 4 else "") + last
    else:
        text = f"<{kind.__name__}>"
    return text if len(text) <= most else text[: most - 3] + "..."
