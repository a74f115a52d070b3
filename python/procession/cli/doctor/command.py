"""`procession doctor`: says what would fail or hurt here, and what to do about it; silent about what is fine."""

import argparse
import importlib
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict

from procession.cli.doctor.finding import FAILS, HURTS, KNOW, Finding, Surroundings, checks_of
from procession.cli.doctor.source import read
from procession.cli.text import ascii_only

__all__ = ["examine", "findings_of", "main", "report"]

ROOMS = ("machine", "python", "libraries", "program")
_ORDER = (FAILS, HURTS, KNOW)
_MARKS = {FAILS: "✗", HURTS: "!", KNOW: "·"}
# The width of the column with the names, and its text's beginning.
INDENT = 19


def main(arguments: list[str]) -> None:
    """Print what was found.

    Args:
        arguments: the command line, a list of str.

    Raises:
        SystemExit: with 1 where something will fail, or hurt with `--strict`; with 2 where a file cannot be read.
    """
    command = argparse.ArgumentParser(
        prog="procession doctor",
        description="Looks at this machine, this Python and programs for what fails or hurts with many "
        "processes. Nothing is run or changed.",
    )
    command.add_argument("file", nargs="*", help="a Python program, which is read and not run")
    command.add_argument("-v", "--verbose", action="store_true", help="also what is fine")
    command.add_argument("--json", action="store_true", help="one JSON document")
    command.add_argument("--strict", action="store_true", help="exit with 1 also for what hurts")
    options = command.parse_args(arguments)
    programs = []
    for path in options.file:
        try:
            programs.append(read(path))
        except (OSError, SyntaxError, ValueError) as error:
            print(f"procession doctor: {path}: {error}", file=sys.stderr)
            sys.exit(2)
    findings, fine, broken = examine(Surroundings(programs=tuple(programs)))
    if options.json:
        print(
            json.dumps({"findings": [asdict(one) for one in findings], "fine": fine, "not_checked": broken}, indent=1)
        )
    else:
        width = min(shutil.get_terminal_size((100, 24)).columns, 120)
        print(ascii_only(report(findings, fine, broken, width, options.verbose)))
    levels = {one.level for one in findings}
    if FAILS in levels or (options.strict and HURTS in levels):
        sys.exit(1)


def examine(place: Surroundings, rooms: Iterable[str] = ROOMS) -> tuple[list[Finding], list[str], dict[str, str]]:
    """Run the checks of some rooms; return the findings, the checks that found nothing, and those that failed.

    Args:
        place: where they look, a `finding.Surroundings`.
        rooms: of `ROOMS`.
    """
    for room in rooms:
        importlib.import_module(f"procession.cli.doctor.{room}")
    findings: list[Finding] = []
    fine: list[str] = []
    broken: dict[str, str] = {}
    for name, function in checks_of(rooms):
        try:
            found = list(function(place))
        except Exception as error:
            # What cannot be looked at here says nothing of the program.
            broken[name] = f"{type(error).__name__}: {error}"
            continue
        findings += found
        fine += [] if found else [name]
    findings.sort(key=lambda one: _ORDER.index(one.level))
    return findings, fine, broken


def report(findings: list[Finding], fine: list[str], broken: dict[str, str], width: int, verbose: bool = False) -> str:
    """Return the text for people.

    Args:
        findings, fine, broken: what `examine` returned.
        width: how many columns there are.
        verbose: whether what is fine is named.
    """
    lines = []
    for one in findings:
        lines += _lines(one, width)
    counts = [sum(one.level == level for one in findings) for level in _ORDER]
    if findings:
        lines.append("")
    hint = "" if verbose else " (-v shows them)"
    lines.append(f"{counts[0]} will fail, {counts[1]} will hurt, {counts[2]} to know; {len(fine)} are fine{hint}.")
    if verbose:
        lines += ["", *textwrap.wrap("fine: " + ", ".join(fine), width, break_on_hyphens=False)]
        lines += [f"not checked: {name}: {error}" for name, error in broken.items()]
    return "\n".join(lines)


def _lines(one, width):
    text = f"{one.where}  {one.text}" if one.where else one.text
    gap = " " * INDENT
    body = textwrap.wrap(
        text, width, initial_indent=gap, subsequent_indent=gap, break_long_words=False, break_on_hyphens=False
    )
    fix = textwrap.wrap(
        f"→ {one.fix}",
        width,
        initial_indent=gap,
        subsequent_indent=gap + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    head = f"{_MARKS[one.level]} {one.name} "
    if len(head) <= INDENT:
        body[0] = head.ljust(INDENT) + body[0][INDENT:]
        return [*body, *fix]
    return [head.rstrip(), *body, *fix]


def findings_of(path: str) -> list[Finding]:
    """Return what is found in a program alone: a list of `Finding`."""
    return examine(Surroundings(programs=(read(path),)), ("libraries", "program"))[0]
