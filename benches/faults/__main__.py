"""Tries what a pool does when its tasks, objects and processes misbehave, and prints the table."""

import argparse
import json
import platform
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from benches.faults import libraries
from benches.faults.probe import PROBES
from benches.faults.runner import run


def numbers(text):
    """Reads "1-9,17" as a list of probes."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    if unknown := [number for number in found if number not in PROBES]:
        raise argparse.ArgumentTypeError(f"no probe {unknown[0]}: there are {min(PROBES)} to {max(PROBES)}")
    return found


def parser():
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m benches.faults", description=__doc__)
    command.add_argument(
        "--library",
        action="append",
        choices=[*libraries.NAMES, "all"],
        help="which library to try; may be repeated (default: procession)",
    )
    command.add_argument(
        "--start-method",
        action="append",
        help="which start methods to try (default: all of procession's, a peer's first)",
    )
    command.add_argument(
        "--probe", type=numbers, default=list(PROBES), help="which probes, such as 1-12,17 (default: all)"
    )
    command.add_argument("--patience", type=float, default=1.0, help="a factor on every time limit, for busy machines")
    command.add_argument("--write", type=Path, metavar="FILE", help="also write the table to FILE")
    command.add_argument("--json", action="store_true", help="print every verdict as JSON instead of the table")
    command.add_argument("--why", action="store_true", help="print, below the table, what each failed probe saw")
    command.add_argument("--strict", action="store_true", help="end with status 1 when a probe is not ok")
    return command


def columns(options):
    """The pairs of library and start method to try; says on stderr what is skipped."""
    chosen = options.library or ["procession"]
    for name in libraries.NAMES if "all" in chosen else chosen:
        if not libraries.installed(name):
            print(f"{name}: not installed, skipped", file=sys.stderr)
            continue
        offered = libraries.start_methods(name)
        wanted = options.start_method or (offered if name == "procession" else offered[:1])
        for method in wanted:
            if method in offered:
                yield name, method
            else:
                print(f"{name}: no start method {method}, skipped", file=sys.stderr)


def table(found, pairs, probes):
    """The verdicts as a Markdown table: a row a probe, a column a library."""
    heads = [name if method == name else f"{name} {method}" for name, method in pairs]
    lines = [f"| probe | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for number in probes:
        cells = (found[number, name, method] for name, method in pairs)
        texts = (cell.what if cell.ok is not False else f"**{cell.what}**" for cell in cells)
        lines.append(f"| {number} {title(number)} | {' | '.join(texts)} |")
    counts = []
    for name, method in pairs:
        tried = [
            verdict.ok for (_, *pair), verdict in found.items() if pair == [name, method] and verdict.ok is not None
        ]
        counts.append(f"{sum(tried)} of {len(tried)}")
    lines.append(f"| ok | {' | '.join(counts)} |")
    return "\n".join(lines)


def title(number):
    """The probe's name: what its docstring says after the number."""
    return PROBES[number].__doc__.partition(" ")[2]


def main():
    """Runs the chosen probes."""
    options = parser().parse_args()
    pairs, found = list(columns(options)), {}
    for number in options.probe:
        for name, method in pairs:
            verdict = run(number, name, method, options.patience)
            found[number, name, method] = verdict
            print(
                f"{number:2} {name} {method}: {verdict.what} ({verdict.seconds:.1f} s)",
                file=sys.stderr,
                flush=True,
            )
    heading = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}, two workers"
    if options.json:
        rows = [
            {
                "probe": number,
                "title": title(number),
                "library": name,
                "start_method": method,
                **asdict(verdict),
            }
            for (number, name, method), verdict in found.items()
        ]
        print(json.dumps(rows, indent=1))
    else:
        print(f"{heading}\n\n{table(found, pairs, options.probe)}")
        for (number, name, method), verdict in found.items():
            if options.why and verdict.ok is False:
                print(f"\n## {number} {name} {method}: {verdict.what}\n{verdict.detail}")
    if options.write:
        command = f"python -m benches.faults {shlex.join(sys.argv[1:])}"
        text = f"# The fault matrix\n\n{heading}, `{command}`\n\n{table(found, pairs, options.probe)}\n"
        options.write.write_text(text)
    if options.strict and any(verdict.ok is False for verdict in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
