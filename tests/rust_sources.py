"""Rust files as the tests of the layers read them: what they use, and how long their functions are."""

import re

FUNCTION = re.compile(r"^[ \t]*(?:pub(?:\([^)]*\))? )?(?:const |unsafe |async |extern \"C\" )*fn (\w+)", re.M)
CHARACTER = re.compile(r"'(\\.|[^\\'])'")


def code_of(path):
    """The file without its comments."""
    return re.sub(r"//[^\n]*", "", path.read_text())


def modules_of(root):
    """The files of a crate by their modules, `room::file`."""
    files = {}
    for path in sorted(root.rglob("*.rs")):
        parts = path.relative_to(root).with_suffix("").parts
        files["::".join(parts[:-1] if parts[-1] == "mod" else parts)] = path
    return files


def paths_in(code):
    """The paths that begin with `crate`, `self` or `super`, those in braces written out."""
    code = re.sub(r"pub\((?:super|crate)\)", "", code)
    for match in re.finditer(r"\b(?:crate|super|self)(?:::\w+)*(::\{)?", code):
        prefix = match.group().removesuffix("::{")
        if not match.group(1):
            yield prefix
            continue
        prefixes, name = [prefix], ""
        for character in code[match.end() :]:
            if character == "{":
                prefixes.append(f"{prefixes[-1]}::{name.strip().removesuffix('::')}")
                name = ""
            elif character in ",}":
                if name.strip():
                    yield f"{prefixes[-1]}::{name.strip()}"
                name = ""
                if character == "}":
                    prefixes.pop()
                    if not prefixes:
                        break
            else:
                name += character


def uses_of(name, files):
    """The modules that one uses, beside those that it is a part of: what a part adds to is no circle."""
    own = re.sub(r"#\[cfg\(test\)\]\s*mod tests \{.*", "", code_of(files[name]), flags=re.S)
    for path in paths_in(own):
        first, *rest = path.partition(" ")[0].split("::")
        place = [] if first == "crate" else name.split("::")
        rest = rest if first in ("crate", "self") else [first, *rest]
        while rest[:1] == ["super"]:
            place, rest = place[:-1], rest[1:]
        place += rest
        while place and "::".join(place) not in files:
            place.pop()
        used = "::".join(place)
        if used and used != name and not name.startswith(f"{used}::"):
            yield used


def functions_in(path):
    """The functions of a file, each with how many lines it has."""
    code = code_of(path)
    for match in FUNCTION.finditer(code):
        at, depth = match.end(), 0
        while not (depth == 0 and code[at] in "{;"):
            depth += (code[at] in "([") - (code[at] in ")]")
            at += 1
        if code[at] == "{":
            yield match.group(1), code.count("\n", match.start(), end_of(code, at)) + 1


def end_of(code, at):
    """Where the brace at `at` is closed, but for those in texts."""
    depth = 0
    while True:
        if code[at] == '"':
            at += 1
            while code[at] != '"':
                at += 2 if code[at] == "\\" else 1
        elif character := CHARACTER.match(code, at):
            at = character.end() - 1
        elif code[at] in "{}":
            depth += 1 if code[at] == "{" else -1
            if depth == 0:
                return at
        at += 1
