"""Finds what cannot be pickled inside a large object."""

from procession import reduction

__all__ = ["explain", "with_path"]

_MOST_PROBES = 2000


def explain(obj, error=None, name=""):
    """Say where inside `obj` the thing is that cannot be pickled.

    Args:
        obj: what was to be pickled.
        error: what pickling raised; not looked at, a place for it keeps call sites short.
        name: what to call `obj` in the answer.

    Returns:
        A path and a type, such as `args[0].client._ssl: SSLContext`; the empty string when everything pickles.
    """
    search = _Search()
    if not search.fails(obj):
        return ""
    path, culprit = search.descend(obj, name)
    return f"{path or 'object'}: {type(culprit).__name__}"


def with_path(error, obj, name=""):
    """Return an error like `error` that also says where the culprit is."""
    try:
        where = explain(obj, error, name)
    except Exception:
        return error
    if not where:
        return error
    try:
        return type(error)(f"{error} ({where})")
    except Exception:
        error.add_note(where)
        return error


class _Search:
    def __init__(self):
        self.probes = 0
        self.seen = set()

    def fails(self, obj):
        self.probes += 1
        try:
            reduction.ForkingPickler.dumps(obj)
        except Exception:
            return True
        return False

    def descend(self, obj, path):
        """Follow the first part that fails by itself, down to one whose parts do not."""
        while True:
            self.seen.add(id(obj))
            for step, part in _parts(obj):
                if id(part) in self.seen or self.probes > _MOST_PROBES:
                    continue
                if self.fails(part):
                    path = _join(path, step)
                    obj = part
                    break
            else:
                return path, obj


def _join(path, step):
    return (path + step).removeprefix(".")


def _parts(obj):
    """Yield the parts of an object, each with the piece of a path that leads to it."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r}]", value
            yield f".keys()[{key!r}]", key
    elif isinstance(obj, list | tuple | set | frozenset):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif hasattr(obj, "__code__") and hasattr(obj, "__closure__"):
        yield from _parts_of_function(obj)
    elif hasattr(obj, "__self__") and hasattr(obj, "__func__"):
        yield ".__self__", obj.__self__
    elif hasattr(obj, "func") and hasattr(obj, "keywords"):
        yield ".func", obj.func
        yield ".args", obj.args
        yield ".keywords", obj.keywords
    elif not isinstance(obj, type):
        yield from _parts_of_object(obj)


def _parts_of_function(function):
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f".<closure {name}>", cell.cell_contents
        except ValueError:  # not assigned yet
            pass
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f".<global {name}>", function.__globals__[name]


def _parts_of_object(obj):
    from procession.process import BaseProcess

    state = dict(getattr(obj, "__dict__", None) or {})
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(obj, name):
                state[name] = getattr(obj, name)
    is_process = isinstance(obj, BaseProcess)
    for name, value in state.items():
        # Users know these by the names they gave to the constructor.
        known = is_process and name in ("_target", "_args", "_kwargs")
        yield f".{name[1:] if known else name}", value
