"""The command: runs each client's tests with the standard library and on procession, and compares.

Its status is 0 when each difference is explained.
"""

import argparse
import collections
import fnmatch
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.dependents.clients import CLIENTS
from tests.dependents.places import NotThere, prepare
from tests.dependents.runs import MODES, run

EXPECTED = Path(__file__).with_name("expected.txt")
_FINE = ("passed", "skipped")
_TITLES = {"std": "standard library", "run": "python -m procession", "import": "import changed"}
# What a machine does that is busy for a moment is no difference: tests that end worse are run again, alone, so often,
# and with the standard library as often: one that fails there, too, is a test of the machine.
_REPEATS = 2
# More tests than these do not fail by accident.
_REPEATED_AT_MOST = 50


def read_expected(path=EXPECTED):
    """Return the lines of `expected.txt` as (pattern, reason); a pattern is `client/mode/test`."""
    lines = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, reason = line.split(None, 1)
            lines.append((pattern, reason.strip()))
    return lines


def outcome_of(outcomes, test):
    """Return what became of a test: an outcome and a detail."""
    return outcomes.by_test.get(test, ("missing", ""))


def differing(standard, ours):
    """Return the tests that end worse with ours than with the standard library, or do something else instead."""
    worse = []
    for test in sorted(standard.by_test.keys() | ours.by_test.keys()):
        (theirs, _), (own, _) = outcome_of(standard, test), outcome_of(ours, test)
        if theirs != own and (theirs in _FINE or theirs == "missing"):
            worse.append(test)
    return worse


def explained(name, expected):
    """Return the reason for a difference (`client/mode/test`), or None."""
    return next((reason for pattern, reason in expected if fnmatch.fnmatchcase(name, pattern)), None)


def counted(outcomes):
    """Return outcomes as a text: how many of each."""
    counts = collections.Counter(outcome for outcome, _ in outcomes.by_test.values())
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or "none"


def compare(client, folder, expected, options):
    """Run one client in all modes; return its rows of the table and what is not explained."""
    python = prepare(client, folder)
    standard = run(client, python, folder, "std", options.only)
    rows, bad = [f"{_TITLES['std']}: {counted(standard)}"], []
    for fault in standard.faults:
        print(f"  standard library: {fault}", flush=True)
    if not standard.by_test:
        bad.append(f"{client.name}/std: no test ran")
    for mode in [mode for mode in options.modes if mode in client.modes]:
        reason = lambda what, mode=mode: explained(f"{client.name}/{mode}/{what}", expected)  # noqa: E731
        ours = run(client, python, folder, mode, options.only)
        uneven = set()
        for _ in range(_REPEATS):
            again = [test for test in differing(standard, ours) if reason(test) is None and test not in uneven]
            if 0 < len(again) <= _REPEATED_AT_MOST:
                ours.by_test.update(run(client, python, folder, mode, again).by_test)
                theirs = run(client, python, folder, "std", again)
                uneven.update(test for test in again if _fails(theirs, test))
        worse = [test for test in differing(standard, ours) if test not in uneven]
        for test in sorted(uneven & set(differing(standard, ours))):
            print(f"  {mode}: {test}: fails at times with the standard library, too", flush=True)
        for test in worse:
            bad += _tell(
                client, mode, test, outcome_of(standard, test)[0], outcome_of(ours, test), reason(test), options
            )
        if not standard.faults:
            for fault in ours.faults:
                bad += _tell(
                    client, mode, "around", "fine", (fault.partition("\n")[0], fault), reason("around"), options
                )
        better = [test for test, (end, _) in ours.by_test.items() if end in _FINE and _fails(standard, test)]
        for test in better:
            print(f"  {mode}: {test}: {outcome_of(standard, test)[0]} -> {outcome_of(ours, test)[0]}", flush=True)
        rows.append(f"{_TITLES[mode]}: {counted(ours)}; {len(worse)} worse, {len(better)} better")
    return rows, bad


def _fails(outcomes, test):
    return outcome_of(outcomes, test)[0] not in (*_FINE, "missing")


def _tell(client, mode, what, theirs, ours, reason, options):
    """Print a difference; return what is not explained of it."""
    print(f"  {mode}: {what}: {theirs} -> {ours[0]}: {reason or 'NOT EXPLAINED'}", flush=True)
    if reason is not None:
        return []
    print("    " + ours[1][-options.detail :].replace("\n", "\n    "), flush=True)
    return [f"{client.name}/{mode}/{what}"]


def main(arguments=None):
    """Run the command; return its exit status."""
    names = [client.name for client in CLIENTS]
    parser = argparse.ArgumentParser(prog="python -m tests.dependents", description=__doc__)
    parser.add_argument("clients", nargs="*", metavar="client", help=f"only these, of: {', '.join(names)}")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="only this test, as pytest names it")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=MODES[1:], help="of run,import")
    parser.add_argument("--detail", type=int, default=1500, help="how many characters of each failure are shown")
    options = parser.parse_args(arguments)
    if unknown := set(options.clients) - set(names):
        parser.error(f"no such client: {', '.join(unknown)}")
    expected, bad, table = read_expected(), [], []
    for client in CLIENTS:
        if options.clients and client.name not in options.clients:
            continue
        title, begin = f"{client.name} {client.version}", time.monotonic()
        print(title, flush=True)
        with tempfile.TemporaryDirectory(prefix="procession-dependents-", ignore_cleanup_errors=True) as folder:
            try:
                rows, unexplained = compare(client, Path(folder), expected, options)
            except NotThere as error:
                print(f"  cannot be had: {error}", flush=True)
                rows, unexplained = ["cannot be had"], []
        bad += unexplained
        table += [f"{title:25} {row}" for row in rows]
        print(f"  {time.monotonic() - begin:.0f} s", flush=True)
    print("\n".join(["", *table]))
    print(f"dependents: {len(bad)} differences are not explained")
    return 1 if bad else 0


def _end(number, frame):
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)  # what runs is ended, and folders are removed
    sys.exit(main())
