"""What a shared library asks of the C library of the machine that loads it."""

import re
import subprocess

# As `nm -D --undefined-only` prints: "                 U write@GLIBC_2.2.5", "                 w statx@GLIBC_2.28".
_LINE = re.compile(r"^\s+([UwvV])\s+([^@\s]+)(?:@+(\S+))?$")


def undefined(listing):
    """Yield what a listing of `nm -D --undefined-only` names.

    Args:
        listing: what `nm` printed.

    Yields:
        (name, version, weak): the version as "GLIBC_2.17", or None; whether the library does without it.
    """
    for line in listing.splitlines():
        if found := _LINE.match(line):
            kind, name, version = found.groups()
            yield name, version, kind != "U"


def too_new(listing, newest):
    """Return the names that a C library of version `newest` does not have.

    A name without a version is one of them, unless the interpreter has it: the loader takes it from wherever it is, so
    the tag of a wheel, which is made from versions, would promise too much.

    Args:
        listing: what `nm -D --undefined-only` printed.
        newest: the version that the wheel's tag promises, as (2, 17).

    Returns:
        list of str: a name and its version each, in the listing's order.
    """
    found = []
    for name, version, weak in undefined(listing):
        if weak or name.startswith(("Py", "_Py")):
            continue
        number = version and version.startswith("GLIBC_") and tuple(map(int, version[6:].split(".")))
        if not version or (number and number > newest):
            found.append(f"{name} ({version or 'no version'})")
    return found


def listing(library):
    """Return what `nm` prints of the names that a library looks for."""
    return subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, check=True, text=True).stdout
