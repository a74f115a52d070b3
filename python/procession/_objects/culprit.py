"""Where in a large object the thing is that cannot be pickled, such as `args[0].client._ssl: SSLContext`."""

from collections import deque

from procession import _procession as engine, process
from procession._objects import buffers

__all__ = ["with_path"]

_MOST_LOOKS = 100_000
_PLAIN = frozenset({int, float, str, bytes, bool, complex, bytearray, type(None)})


def with_path(error, obj, name=""):
    """Return an error like `error`, which pickling `obj` has just raised in this thread, that also says where.

    Errors that are not of the kinds that pickling raises, such as those of a `__reduce__`, stay as they are. Nothing is
    pickled once more.
    """
    culprit = engine.culprit()
    if culprit is None:
        return error
    where = _where(obj, culprit, name)
    if not _is_of_pickling(error):
        error.add_note(f"while pickling {where}")
        return error
    explained = type(error)(f"{error} ({where})")
    explained.__cause__, explained.__suppress_context__ = error.__cause__, True
    return explained.with_traceback(error.__traceback__)


def _is_of_pickling(error):
    """Return whether the pickler itself raised an error: those of a `__reduce__` or the like stay as they are."""
    if type(error) not in buffers.NOT_BY_NAME or len(error.args) != 1:
        return False
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    home = "" if place is None else place.tb_frame.f_globals.get("__name__") or ""
    return home.partition(".")[0] in ("", "procession", "copyreg", "cloudpickle")


def _where(obj, culprit, name):
    path = _path_to(culprit, obj)
    if path is None:
        return f"in {name or type(obj).__name__}: {type(culprit).__name__}"
    return f"{_join(name, path) or 'object'}: {type(culprit).__name__}"


def _path_to(culprit, obj):
    """Return the shortest path from an object to one of its parts, None if there is none that is seen from outside."""
    seen = {id(obj): obj}  # they live as long, so that no other gets the same id
    waiting = deque([(obj, "")])
    while waiting and len(seen) < _MOST_LOOKS:
        whole, path = waiting.popleft()
        if whole is culprit:
            return path
        try:
            parts = list(_parts(whole))
        except Exception:  # attributes may be computed, and raise
            continue
        for step, part in parts:
            if type(part) not in _PLAIN and id(part) not in seen:
                seen[id(part)] = part
                waiting.append((part, _join(path, step)))
    return None


def _join(path, step):
    return (path + step).removeprefix(".")


def _parts(obj):
    """Yield the parts of an object, each with the piece of a path that leads to it."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            yield f"[{key!r}]", value
            yield f".keys()[{key!r}]", key
    elif isinstance(obj, list | tuple | set | frozenset | deque):
        for index, value in enumerate(obj):
            yield f"[{index}]", value
    elif hasattr(obj, "__code__") and hasattr(obj, "__closure__"):
        if _is_by_value(obj):
            yield from _parts_of_function(obj)
        return
    elif hasattr(obj, "__self__") and hasattr(obj, "__func__"):
        yield ".__self__", obj.__self__
    elif hasattr(obj, "func") and hasattr(obj, "keywords"):
        yield ".func", obj.func
        yield ".args", obj.args
        yield ".keywords", obj.keywords
    elif isinstance(obj, type):
        if _is_by_value(obj):
            yield from ((f".{name}", value) for name, value in list(vars(obj).items()))
        return
    elif isinstance(obj, property | classmethod | staticmethod):
        yield from ((f".{name}", getattr(obj, name, None)) for name in ("fget", "fset", "fdel", "__func__"))
    yield from _parts_of_object(obj)


def _is_by_value(obj):
    """Return whether a function or class may travel with what it consists of."""
    path = getattr(obj, "__qualname__", "")
    return getattr(obj, "__module__", None) in ("__main__", "__mp_main__") or "<" in path


def _parts_of_function(function):
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield f".<closure {name}>", cell.cell_contents
        except ValueError:  # not assigned yet
            pass
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f".<global {name}>", function.__globals__[name]
    yield ".__defaults__", function.__defaults__
    yield ".__kwdefaults__", function.__kwdefaults__
    for name, value in vars(function).items():
        yield f".{name}", value


def _parts_of_object(obj):
    state = dict(getattr(obj, "__dict__", None) or {})
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(obj, name):
                state[name] = getattr(obj, name)
    is_process = isinstance(obj, process.BaseProcess)
    for name, value in state.items():
        # Users know these by the names they gave to the constructor.
        known = is_process and name in ("_target", "_args", "_kwargs")
        yield f".{name[1:] if known else name}", value
    if isinstance(obj, BaseException):
        yield ".args", obj.args
    if _is_by_value(type(obj)):
        yield ".__class__", type(obj)
