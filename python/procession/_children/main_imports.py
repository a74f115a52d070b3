"""What the main module imports at its head, so that a forkserver can have it before that module is to run."""

__all__ = ["load", "names"]

_AST_ONLY = 0x400  # as in `ast`, which takes longer to load than the rest of the server
# What may stand among the imports, besides what `_is_harmless` knows: it changes nothing that they could see.
_DEFINITIONS = ("FunctionDef", "AsyncFunctionDef", "ClassDef", "Pass")


def load(path: str, package: str) -> None:
    """Import what a file imports first, as far as that goes; the main module does it again, and tells what fails.

    The file is not run, so what stands between its imports is not done: the first statement that may matter to those
    below it ends the list.

    Args:
        path: the file with the source.
        package: of which package it is a module, an empty text for none.
    """
    for name, wanted, is_optional in names(path, package):
        try:
            __import__(name, {}, {}, wanted)
        except BaseException:
            if not is_optional:  # those below it may need what it was for
                return


def names(path: str, package: str) -> list[tuple[str, list[str], bool]]:
    """Return the modules that `load` imports, each with the names that are wanted of it, which may be modules, too, and
    whether the file does without."""
    found: list[tuple[str, list[str], bool]] = []
    try:
        with open(path, "rb") as file:
            tree = compile(file.read(), path, "exec", flags=_AST_ONLY, dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return found
    _collect(getattr(tree, "body", ()), package, False, found)
    return found


def _collect(body, package, is_optional, found):
    """Append what statements import to `found`; return whether none ended the list."""
    for statement in body:
        kind = type(statement).__name__
        if kind == "Import":
            found += [(alias.name, [], is_optional) for alias in statement.names]
        elif kind == "ImportFrom":
            name = _absolute(statement.module or "", statement.level, package)
            if name:
                found.append((name, [alias.name for alias in statement.names], is_optional))
        elif kind == "Try":
            if not _collect(statement.body, package, True, found):
                return False
        elif kind not in _DEFINITIONS and not _is_harmless(statement, kind):
            return False
    return True


def _absolute(name, level, package):
    """Return the whole name of a module that is imported in a package, an empty text for one outside of it."""
    if not level:
        return name
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join(parts[: len(parts) - level + 1] + [name] * bool(name))


def _is_harmless(statement, kind):
    """Return whether a statement is a text, names a constant, is not run by an import, or calls `prepare`."""
    if kind == "Expr":
        called = getattr(statement.value, "func", None)
        if called is not None:
            return "prepare" in (getattr(called, "attr", None), getattr(called, "id", None))
        return type(statement.value).__name__ == "Constant"
    if kind == "Assign":
        return type(statement.value).__name__ == "Constant" and all(hasattr(name, "id") for name in statement.targets)
    if kind == "If":
        test = statement.test
        subject = getattr(test, "left", test)
        return getattr(subject, "attr", getattr(subject, "id", None)) in ("TYPE_CHECKING", "__name__")
    return False
