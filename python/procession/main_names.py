"""Which functions and classes of `__main__` children find in theirs; the others have to travel by value."""

import os
import sys
import types
from _weakref import ref

__all__: list[str] = []

BY_NAME = (type, types.FunctionType)


_LIBRARIES = (
    os.path.dirname(os.path.abspath(os.__file__)) + os.sep,
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
)


def is_of_program(module):
    """Return whether a module belongs to the program: it is `__main__`, or its file stands with no library."""
    names = getattr(module, "__dict__", None) or {}
    if names.get("__name__") in ("__main__", "__mp_main__"):
        return True
    file = names.get("__file__")
    if not isinstance(file, str):
        return False
    file = os.path.abspath(file)
    return not (file.startswith(_LIBRARIES) or "site-packages" in file or "dist-packages" in file)


def may_read(function):
    """Return whether a function may read a global variable, or call what does."""
    if type(function) is not types.FunctionType:
        return type(function) is not types.BuiltinFunctionType
    names, code = function.__globals__, function.__code__
    return (
        function.__closure__ is not None
        or any(type(const) is types.CodeType for const in code.co_consts)
        or any(
            name in names and (type(names[name]) is not types.ModuleType or is_of_program(names[name]))
            for name in code.co_names
        )
    )


def is_of_main(obj):
    """Return whether `obj` is a function or class that a pickle would look for in `__main__`."""
    return isinstance(obj, BY_NAME) and getattr(obj, "__module__", None) == "__main__"


class ImportedMain:
    """The `__main__` of children that import its file: without what stands under `if __name__ == "__main__"`."""

    imported = True

    @staticmethod
    def knows(obj):
        """Return whether children find `obj`, a function or class of `__main__`, under its name."""
        name = obj.__qualname__.split(".")[0]
        return name not in guarded() and _found(obj) is obj


class ForkedMain:
    """The `__main__` of children that are copies of this process as it is now: without what is defined later."""

    imported = False

    def __init__(self):
        names = vars(sys.modules["__main__"]).items()
        # Weak, so that nothing lives longer; and a later function at the same address is not taken for the earlier one.
        # Asking a module that is to be loaded when it is used what it is would load it.
        self._there = {name: ref(obj) for name, obj in list(names) if issubclass(type(obj), BY_NAME)}

    def knows(self, obj):
        """Return whether children find `obj`, a function or class of `__main__`, under its name."""
        path = obj.__qualname__.split(".")
        outermost = self._there.get(path[0])
        if _found(obj) is not obj:
            return False
        # What a decorator made is neither function nor class: how to find it tells nothing about when it was made.
        return outermost is not None and outermost() is found_at(path[:1])


def _found(obj):
    return found_at(obj.__qualname__.split("."))


def found_at(path):
    """Return what stands in `__main__` under a path of names, or None."""
    found = sys.modules.get("__main__")
    for name in path:
        found = getattr(found, name, None)
    return found


def guarded():
    """Return the names of the functions and classes that only the program itself defines, not who imports its file."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return _guarded(path) if path else frozenset()


_known = {}  # files that were looked at


def _guarded(path):
    names = _known.get(path)
    if names is None:
        names = _known[path] = _look(path)
    return names


def _look(path):
    try:
        with open(path, "rb") as file:
            source = file.read()
        # Most programs define nothing there, and need not be parsed to know it.
        if not _may_define_under_guard(source):
            return frozenset()
        import ast

        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    names = set()
    for statement in tree.body:
        if isinstance(statement, ast.If) and _is_guard(statement.test):
            names.update(_defined(statement.body))
    return frozenset(names)


def _may_define_under_guard(source):
    """Return whether an indented definition stands anywhere below a line that may be a guard."""
    below = False
    for line in source.splitlines():
        if not below:
            below = line.startswith(b"if") and b"__name__" in line
        elif line[:1] in (b" ", b"\t") and line.lstrip().startswith((b"def ", b"class ", b"async ")):
            return True
    return False


def _is_guard(test):
    import ast

    if isinstance(test, ast.BoolOp):
        return isinstance(test.op, ast.And) and any(_is_guard(value) for value in test.values)
    if not (isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = [test.left, *test.comparators]
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def _defined(statements):
    import ast

    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
        else:
            for block in ("body", "orelse", "handlers", "finalbody"):
                yield from _defined(getattr(statement, block, ()))
