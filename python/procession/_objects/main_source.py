"""What the file of the main module defines for those who import it: nothing that stands under its guard."""

__all__ = ["defines", "names_defined"]

_known: dict = {}  # for each file: the names that a glance finds, and all of them once it was parsed


def defines(path, name):
    """Return whether a file, imported as a module, gives a name a value at its top level."""
    known = _known.get(path)
    if known is None:
        known = _known[path] = [_glance(path), None]
    # Most programs define functions and classes in plain sight, and need not be parsed to know it.
    if name in known[0]:
        return True
    if known[1] is None:
        known[1] = names_defined(path)
    return name in known[1]


def _glance(path):
    """Return the names that lines without indentation define, and that nothing below a guard may define."""
    plain, guarded = set(), set()
    below_guard = False
    for line in _read(path).splitlines():
        if line[:1] not in (" ", "\t"):
            below_guard = below_guard or (line.startswith("if") and "__name__" in line)
            plain.update(_names_in(line))
        elif below_guard:
            guarded.update(_names_in(line))
    return frozenset(plain - guarded)


def _names_in(line):
    """Return the names that a line seems to define."""
    words = line.split(None, 2)
    if words[:1] == ["async"]:
        del words[0]
    if len(words) > 1 and words[0] in ("def", "class"):
        return [words[1].partition("(")[0].partition(":")[0].partition("[")[0]]
    left, equals, _ = line.partition("=")
    return [part.partition(":")[0].strip() for part in left.split(",")] if equals else []


def _read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def names_defined(path):
    """Return the names that a file gives values to at its top level when it is imported.

    What is bound by `import *` or by `exec` is not seen.
    """
    import ast

    try:
        tree = ast.parse(_read(path))
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(_bound(tree.body))


def _bound(statements):
    import ast

    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
            continue
        if isinstance(statement, ast.If) and _is_guard(statement.test):
            yield from _bound(statement.orelse)
            continue
        blocks = [block for name in _BLOCKS for block in getattr(statement, name, ())]
        yield from _bound(block for block in blocks if isinstance(block, ast.stmt))
        for block in blocks:
            yield from _bound(getattr(block, "body", ()) if not isinstance(block, ast.stmt) else ())
        for name, value in ast.iter_fields(statement):
            if name not in _BLOCKS:
                yield from _stored(value)


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def _stored(value):
    """Return the names that an expression or a target binds."""
    import ast

    for part in value if isinstance(value, list) else [value]:
        if isinstance(part, ast.alias):
            yield (part.asname or part.name).partition(".")[0]
        elif isinstance(part, ast.AST):
            for node in ast.walk(part):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id


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
