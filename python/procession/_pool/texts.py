"""How messages name a task: its function, its place in the job, its arguments in short."""

import sys

__all__ = [
    "call_text",
    "clean",
    "function_name",
    "given",
    "in_units",
    "notebook_name",
    "program_name",
    "running_name",
    "task_name",
]

_MOST_TEXT = 200
# The most characters of what a task was given.
_MOST_GIVEN = 60
_PLAIN = (str, bytes, int, float, bool, complex, type(None))
_ROWS: dict[type, tuple[str, str]] = {tuple: ("(", ")"), list: ("[", "]"), set: ("{", "}"), frozenset: ("{", "}")}


def function_name(function):
    """Return the name of a function for people; never raises."""
    try:
        inner = getattr(function, "func", function)  # functools.partial
        name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
        return str(name).replace("<locals>.", "")
    except Exception:
        return "a function"


def program_name():
    """Return the name of the program that this process runs, for those who look at its pools."""
    path = sys.argv[0] if getattr(sys, "argv", None) else ""
    if not isinstance(path, str) or path in ("", "-", "-c", "-m"):
        return "python"
    folder, _, name = path.rpartition("/")
    if name == "ipykernel_launcher.py":
        return notebook_name()
    return folder.rpartition("/")[2] if name == "__main__.py" and folder else name


def notebook_name():
    """Return the name of the notebook whose kernel this process is."""
    import os

    return os.environ.get("JPY_SESSION_NAME", "").rpartition("/")[2] or "notebook"


def running_name(current, interrupts):
    """Return the name of the task that runs in this worker, an empty text if none does.

    It is `function[index]`, with the place of its item in the map, or the number of the call among all that the pool
    was given, from 0.

    Args:
        current: a list of the function that is called, and whether by a call of its own.
        interrupts: knows which item of which job runs.
    """
    item, (function, is_call) = interrupts.item(), current
    return "" if item is None or function is None else task_name(function, is_call, item)


def task_name(function, is_call, item):
    """Return the name of a task, as `running_name` does.

    Args:
        function: what it calls.
        is_call: whether by a call of its own, and not by a map.
        item: the number of its job, and its place in that.
    """
    job, index = item
    return f"{function_name(function)}[{job - 1 if is_call else index}]"


def call_text(function, kind, index, item):
    """Return a text such as `item 3 of the job, resize('a.png')`.

    Args:
        function: what is called, None when that is forgotten.
        kind: "apply", "map" or "starmap".
        index: the place in the job, from 0.
        item: the element of the iterable, `(args, kwds)` for "apply", or None.
    """
    name = "this task" if function is None else function_name(function)
    if function is not None:
        name = _shorten(f"{name}({_arguments(kind, item)})")
    return name if kind == "apply" else f"item {index} of its job, {name}"


def _arguments(kind, item):
    try:
        if kind == "map":
            return _repr(item)
        if kind == "apply":
            args, kwds = item if item is not None else ((), None)
        else:
            args, kwds = (item if isinstance(item, tuple | list) else (item,)), None
        texts = [_repr(value) for value in args]
        texts += [f"{name}={_repr(value)}" for name, value in (kwds or {}).items()]
        return ", ".join(texts)
    except Exception:
        return "..."


def _repr(value):
    try:
        import reprlib

        return reprlib.repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _shorten(text):
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "...)"


def clean(text):
    """Return a text of others without what a terminal takes for orders, or what changes the order of its signs."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in str(text))


def in_units(number):
    """Return a number of bytes as a text such as `1.5 GB`."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if number >= 1000**power:
            return f"{number / 1000**power:.4g} {unit}"
    return f"{number} bytes"


def given(kind, item):
    """Return what a task was given, in a few characters, for those who look at workers from outside.

    No code of a program runs for it: what is no plain value of Python's own is shown by the name of its class, as its
    `__repr__` may take long, ask a database, or raise.

    Args:
        kind: "map", "starmap" or "apply".
        item: what travelled: the element of the iterable, or `(args, kwds)` for "apply".
    """
    if kind == "map":
        return _shown(item, _MOST_GIVEN)
    args, kwds = item if kind == "apply" else (item, None)
    if type(args) not in (tuple, list):
        args = (args,)
    texts = [_shown(value, _MOST_GIVEN // 2) for value in args[:4]]
    if type(kwds) is dict:
        texts += [f"{name}={_shown(kwds[name], _MOST_GIVEN // 2)}" for name in list(kwds)[:4]]
    return ", ".join(texts)


def _shown(value, most, depth=2):
    kind = type(value)
    if kind in (str, bytes):
        text = repr(value[:most])
    elif kind in _PLAIN:
        # The text of a number of a million digits takes too long.
        text = f"<int of {value.bit_length()} bits>" if kind is int and value.bit_length() > 256 else repr(value)
    elif kind in _ROWS and depth:
        first, last = _ROWS[kind]
        parts = [_shown(part, most // 2, depth - 1) for part in list(value)[:4]]
        text = first + ", ".join(parts) + (", ..." if len(value) > 4 else "") + last
    else:
        text = f"<{kind.__name__}>"
    return text if len(text) <= most else text[: most - 3] + "..."
