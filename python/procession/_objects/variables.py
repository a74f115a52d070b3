"""Global variables that a pool's functions read and that are not in its workers what they are in the program.

A worker that is not forked from the program imports its modules anew, or has them from a server that did. What the
program has put into a variable since that import, the worker does not see. When a function is sent to a pool for the
first time, what it reads goes with it, as short marks of the values, and the worker compares. Nothing is said of what
an initializer, the function itself or one that was sent before sets: that is meant to be the worker's own.

Here is what a worker needs of it; `watch.py` has the parent's part.
"""

import sys
import types

__all__ = ["Expected", "arrive", "compare", "mark"]

_MOST_ITEMS = 64  # of a container whose contents are compared, and letters of a text for each
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
# Types of values whose text says all, and always the same.
_TELLING = frozenset(("datetime", "decimal", "enum", "fractions", "pathlib", "pathlib._local", "uuid"))
_NO_VARIABLES: tuple[type, ...] = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
)


def mark(value):
    """Return what stands for a value in another process; two marks are equal where no difference can be told.

    Returns:
        A kind and what tells values of it apart; None for what is no variable, such as a function.
    """
    if isinstance(value, _NO_VARIABLES) or type(value).__module__ == "functools":
        return None
    exact = _exact(value, [_MOST_ITEMS])
    if exact is not None:
        return "value", exact
    return type(value).__name__, _size(value)


def _exact(value, room):
    """Return what is equal for equal plain values; None for others, and for more than there is room for."""
    cls = type(value)
    room[0] -= 1
    if room[0] < 0:
        return None
    if cls in (str, bytes):
        return (cls.__name__, value) if len(value) <= 64 * _MOST_ITEMS else None
    if cls in _SCALARS:
        return cls.__name__, _written(value)  # so that what is not a number equals itself
    if cls in (list, tuple, set, frozenset, dict, range):
        if len(value) > _MOST_ITEMS:
            return None
        parts = [_exact(one, room) for one in (value.items() if cls is dict else value)]
        if None in parts:
            return None
        return cls.__name__, tuple(parts if cls in (list, tuple, range) else sorted(parts, key=repr))
    if cls.__module__ in _TELLING or hasattr(cls, "_member_map_"):
        written = _written(value)
        return written and (cls.__name__, written)
    return None


def _written(value):
    """Return a value's `repr`; of a number with more digits than the interpreter writes that in base 16, else None."""
    try:
        return repr(value)
    except ValueError:
        return hex(value) if type(value) is int else None


def _size(value):
    """Return how large a value is, as far as that can be asked without running code of a stranger."""
    if isinstance(value, str | bytes | list | tuple | set | frozenset | dict):
        return len(value)
    if type(value).__module__.partition(".")[0] in ("numpy", "pandas"):
        return str(getattr(value, "shape", None))
    return None


def _difference(here, there):
    texts = _text(here), _text(there)
    return "{} in workers, {} in the program".format(*texts) if texts[0] != texts[1] else f"{texts[0]}, but another"


def _text(marked):
    """Say what a mark stands for; contents of texts, which may be secret, are not shown."""
    if marked is None:
        return "not there"
    kind, detail = marked
    if kind != "value":
        return f"{_article(kind)} {kind}" + ("" if detail is None else f" of {detail}")
    kind, content = detail
    if kind in ("str", "bytes"):
        return f"a {kind} of {len(content)}"
    if isinstance(content, str):
        return content if kind in ("bool", "int", "float", "complex", "NoneType") else f"{_article(kind)} {kind}"
    return f"{_article(kind)} {kind} of {len(content)}"


def _article(word):
    return "an" if word[:1] in "aeiouAEIOU" else "a"


class Expected:
    """What a function reads, as it is in the program.

    Attributes:
        name: of the function.
        place: the file and line where it stands.
        marks: of each variable, by the names of its module and its own.
        generators: the variables that hold random generators, and with dots attributes of classes and what functions
            have beside them.
        method: the start method.
    """

    def __init__(self, function, place, marks, held, method):
        self.method = method
        self.name = function
        self.place = place
        self.marks = marks
        self.generators = held


def arrive(function, what):
    """Compare in a worker what came with a function, and return the function."""
    compare(what)
    return function


def compare(what):
    """Warn where variables are not what they are in the program."""
    try:
        told = []
        for (module, name), there in what.marks.items():
            if module not in sys.modules:
                continue
            names = vars(sys.modules[module])
            here = mark(names[name]) if name in names else None
            if here != there and (here is not None or name not in names):
                told.append(f"{name} of {module} ({_difference(here, there)})")
        if told:
            tell("StaleVariable", what, _stale(what.name, told, what.method))
        if what.method == "forkserver":
            what.generators = [place for place in what.generators if _is_copy(*place)]
            if what.generators:
                tell_of_generators(what)
    except Exception as error:  # what is only a service must not fail a task
        from procession import _logs

        _logs.info("variables of %s cannot be compared: %s", what.name, error)


def _stale(function, told, method):
    return (
        f"{function}() reads variables that workers do not have as the program does: {', '.join(sorted(told))}. "
        f"Under {method} they import its modules anew, and do not see what it puts into variables later: pass the "
        'value as an argument, set it in an initializer, or use get_context("fork")'
    )


def _is_copy(module, name):
    """Return whether a variable holds a generator that the forkserver made, so that its other children have it, too."""
    server = sys.modules.get("procession.forkserver")
    if server is None or module not in server.preloaded or module not in sys.modules:
        return False
    from procession._objects import generators

    return generators.holds_generator(generators.inside(module, name))


def tell_of_generators(what):
    names = ", ".join(f"{name} of {module}" for module, name in sorted(what.generators))
    tell(
        "SameRandomNumbers",
        what,
        f"{what.name}() draws from a random generator that was made before the workers, each of which has the same "
        f"copy and so draws the same numbers: {names}. Make it in an initializer, or in the task from a seed that is "
        "an argument (numpy.random.SeedSequence.spawn)",
    )


def tell(name, what, text):
    """Give a warning, of the class with that name, about a function: in a worker to the parent, where that listens."""
    from procession import _logs, _notices

    category = getattr(_notices, name)
    if _logs.mouth is None or not _logs.mouth.send_notice(category, text, *what.place):
        _notices.tell_once(category, text, *what.place)
