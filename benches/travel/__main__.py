"""Sends large values of libraries to a process and back, by the standard library and procession in turns.

Prints a table of what arrives, by how many copies and in what time; with --write into a page, between its comments.
Status 1 if something arrives by procession otherwise than plain pickle makes it.
"""

import argparse
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benches.libraries import OURS, STANDARD
from benches.page import markdown
from benches.readme import fill
from benches.runner import spread
from benches.table import shown
from benches.travel.values import KINDS, MIB

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 400
WAYS = ("argument", "result")
HEAD = ["value", "start", *(f"{way}{column}" for way in WAYS for column in (", ms", ": better", ": copies")), "kept"]


def parser():
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m benches.travel", description=__doc__)
    command.add_argument("--values", nargs="+", choices=KINDS, default=list(KINDS), help="not all of them")
    command.add_argument("--start-methods", nargs="+", default=["fork", "spawn"], metavar="METHOD")
    command.add_argument("--mib", type=int, default=MIB, help="the size of a value (default: %(default)s)")
    command.add_argument("--pairs", type=int, default=9, help="times that each is measured (default: %(default)s)")
    command.add_argument("--torch", metavar="PYTHON", default=sys.executable, help="an interpreter that may have torch")
    command.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the comments of this page")
    return command


def interpreter(name, options):
    """The interpreter that has the library of a value; None if none has."""
    library = KINDS[name].library
    python = options.torch if library == "torch" else sys.executable
    try:
        found = subprocess.run([python, "-c", f"import {library}"], capture_output=True, timeout=LIMIT_S)
    except FileNotFoundError:
        return None
    return python if found.returncode == 0 else None


def travel(python, name, start_method, options):
    """What is found for a value by `benches.travel.trip`; a text if it fails."""
    command = [python, "-m", "benches.travel.trip", name, start_method, "--mib", str(options.mib)]
    found = said(command + ["--pairs", str(options.pairs)])
    for way in WAYS:
        weighed = said(command + ["--weigh", way], MALLOC_MMAP_THRESHOLD_="65536") if isinstance(found, dict) else found
        if isinstance(weighed, str):
            return weighed
        for library, more in weighed.items():
            found[library] |= more
    return found


def said(command, **variables):
    """What a command says as JSON; a text if it fails.

    Args:
        variables: of the environment, such as one by which malloc keeps no memory of large blocks.
    """
    environment = os.environ | variables
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=out, stderr=errors, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            status = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return f"no end in {LIMIT_S} s"
        finally:
            end(process)
        out.seek(0)
        errors.seek(0)
        return f"status {status}: {errors.read()[-500:]}" if status else json.loads(out.read().splitlines()[-1])


def end(process):
    """End a trip with its workers, of which one that hangs would stay."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def row(name, start_method, found):
    """The table's row of a value, and what was wrong by procession: a text, empty if nothing was."""
    if isinstance(found, str):
        return None, found
    ours, standard = found[OURS], found[STANDARD]
    if "failed" in ours:
        return None, ours["failed"]
    wrong = f"not {', '.join(ours['lost'])}" if ours["lost"] else ""
    kept = f"**{wrong}**" if wrong else ", ".join(word for word in ours["kept"] if word != "items")
    return [name, start_method, *(cell for way in WAYS for cell in of_way(way, standard, ours)), kept], wrong


def of_way(way, standard, ours):
    """The cells of a way: both times, how many times better, both numbers of copies."""
    time, weight = shown(spread(ours[f"{way}_s"])[0] * 1e3), f"{ours[f'{way}_copies']:.1f}"
    if "failed" in standard:
        return [f"fails, {time}", "-", f"-, {weight}"]
    ratios = [theirs / mine for theirs, mine in zip(standard[f"{way}_s"], ours[f"{way}_s"], strict=True)]
    others = shown(spread(standard[f"{way}_s"])[0] * 1e3), f"{standard[f'{way}_copies']:.1f}"
    return [f"{others[0]}, {time}", f"{shown(spread(ratios)[0])}x", f"{others[1]}, {weight}"]


def about(options):
    """The paragraph above the table: the machine, the command, and what the columns say."""
    versions = (
        f"CPython {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
    )
    command = shlex.join(["scripts/travel", *ordinary(sys.argv[1:])])
    return (
        f"{versions}, `{command}`: values of about {options.mib} MiB to a worker that does not look at their items, "
        f"and back; {STANDARD}, then {OURS}; medians of {options.pairs} pairs by turns, and of the ratios within the "
        f"pairs. Copies are the most memory that sender and receiver took on the way, in units of {options.mib} MiB. "
        "Kept is what was compared, beside the items, with what plain pickle makes of the value; "
        "what is lost stands out."
    )


def ordinary(arguments):
    """The arguments of a command line without the places of this machine."""
    at = arguments.index("--torch") if "--torch" in arguments else len(arguments)
    return arguments[:at] + arguments[at + 2 :]


def main():
    """Measure, print, write."""
    options = parser().parse_args()
    intro, rows, wrong = about(options), [], []
    for name in options.values:
        python = interpreter(name, options)
        if python is None:
            print(f"{name}: no {KINDS[name].library} here", file=sys.stderr)
            continue
        for start_method in options.start_methods:
            cells, fault = row(name, start_method, travel(python, name, start_method, options))
            rows += [cells] if cells else []
            wrong += [f"{name} by {start_method}: {fault}"] if fault else []
            print(f"{name} by {start_method}: {fault or ' | '.join(cells[2:])}", file=sys.stderr)
    parts = [intro, markdown([HEAD, *rows])]
    print("\n\n".join(parts))
    if options.write:
        options.write.write_text(fill(options.write.read_text(), "travel", parts))
    if wrong:
        sys.exit("travel: " + "; ".join(wrong))


if __name__ == "__main__":
    main()
