"""`procession journal`: what is in the file in which a map keeps its results."""

import argparse
import json
import os
import sys
from typing import Any

from procession._pool.amounts import size
from procession._pool.journal import NoJournal, scan
from procession.cli.text import ascii_only, clean

__all__ = ["contents", "main"]

_MOST_RANGES = 8


def main(arguments: list[str]) -> None:
    """Print what is in a journal. Its results stay unread: nothing of it is executed.

    Args:
        arguments: the command line, a list of str.

    Raises:
        SystemExit: it makes no sense, or the file is no journal.
    """
    command = argparse.ArgumentParser(
        prog="procession journal",
        description="Shows what is in a file that a map keeps its results in, by resume=. Its results stay unread.",
    )
    command.add_argument("file", help="the journal")
    command.add_argument("--json", action="store_true", help="as JSON, for other programs")
    options = command.parse_args(arguments)
    try:
        found = contents(options.file)
    except (OSError, NoJournal) as error:
        sys.exit(f"procession journal: {error}")
    print(json.dumps(found, indent=2) if options.json else ascii_only(_text(found)))


def contents(path: "str | os.PathLike[str]") -> dict[str, Any]:
    """Return what is in a journal: the call that it is of, the places of its results in ranges, sizes in bytes.

    Raises:
        OSError: the file cannot be read.
        NoJournal: it is something else.
    """
    found = scan(path)
    places = sorted({place for frame in found.frames for place in frame.places})
    ranges: list[list[int]] = []
    for place in places:
        if ranges and ranges[-1][1] == place - 1:
            ranges[-1][1] = place
        else:
            ranges.append([place, place])
    beside = os.fspath(path) + ".data"
    description = found.description or {}
    return {
        "file": os.fspath(path),
        "function": description.get("function"),
        "seed": description.get("seed"),
        "begun": description.get("begun"),
        "results": len(places),
        "places": ranges,
        "bytes": found.size,
        "beside": os.path.getsize(beside) if os.path.exists(beside) else 0,
        "unused": found.size - found.valid,
    }


def _text(found):
    if found["function"] is None:
        return f"{found['file']}: nothing was recorded yet"
    ranges = [f"{first}-{last}" if last > first else str(first) for first, last in found["places"]]
    more = len(ranges) - _MOST_RANGES
    shown = ", ".join(ranges[:_MOST_RANGES]) + (f" and {more} more ranges" if more > 0 else "")
    rows = [
        ("function", clean(str(found["function"]))),
        ("seed", clean(str(found["seed"] or "none"))),
        ("begun", clean(str(found["begun"]))),
        ("results", f"{found['results']:,}"),
        ("places", shown or "none"),
        ("size", size(found["bytes"]) + (f", and {size(found['beside'])} beside" if found["beside"] else "")),
    ]
    if found["unused"]:
        rows.append(("unused", f"{size(found['unused'])} at the end, of a result that was not written whole"))
    return "\n".join(f"{name + ':':10}{value}" for name, value in rows)
