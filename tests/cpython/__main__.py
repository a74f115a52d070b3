"""The command: runs the tests, compares with `expected.txt`, reports; status 0 when everything is as expected."""

import argparse
import collections
import concurrent.futures
import fnmatch
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.cpython.campaign import run_class
from tests.cpython.suite import NoTests, list_tests, prepare

EXPECTED = Path(__file__).with_name("expected.txt")

# About half a minute: the default start method, and of the others what starts and ends processes.
QUICK = (
    r"forkserver/(WithProcessesTest(Pool|Queue|Connection|Lock|Semaphore|Event|Value|Array|SharedMemory|Listener)\b"
    r"|WithManagerTest(Containers|Queue|Lock)\b|TestSyncManagerTypes)"
    r"|fork/(WithProcessesTestPool|WithProcessesTestQueue|WithThreadsTestPool)\b|spawn/WithProcessesTestSubclassingProcess"
)


def read_expected(path=EXPECTED):
    """Return the lines of `expected.txt` as (pattern, whether it may pass too, reason)."""
    lines = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, reason = line.split(None, 1)
            lines.append((pattern.lstrip("?"), pattern.startswith("?"), reason.strip()))
    return lines


def judge(test, outcome, expected):
    """Return what is unexpected about an outcome, or None."""
    matching = [maybe for pattern, maybe, _ in expected if fnmatch.fnmatchcase(test, pattern)]
    if outcome in ("passed", "skipped"):
        return "passes, but expected.txt says that it does not" if outcome == "passed" and False in matching else None
    return None if matching else outcome


def main(arguments=None):
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.cpython", description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the interpreter with the tests, if not this one")
    parser.add_argument("--quick", action="store_true", help="a part that takes about half a minute")
    parser.add_argument("-k", default="", metavar="REGEX", help="only tests whose id matches, such as fork/.*TestPool")
    parser.add_argument("--limit", type=float, default=300.0, metavar="SECONDS", help="for one test")
    parser.add_argument("--jobs", type=int, default=2, help="classes at a time")
    parser.add_argument("--standard", action="store_true", help="against the standard library: what fails without ours")
    parser.add_argument("-v", action="store_true", help="show the details of what does not pass as expected, too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="procession-cpython-") as folder:
        try:
            modules = prepare(folder, options.python, options.standard)
        except NoTests as error:
            print(f"cpython: {error}", file=sys.stderr)
            return 2
        if "executor" not in dict(modules):
            print("cpython: the tests of concurrent.futures are not installed: not run", file=sys.stderr)
        classes = list_tests(folder, options.python, modules)
        return _run(folder, options, classes)


def _run(folder, options, classes):
    wanted = re.compile(QUICK if options.quick else options.k)
    chosen = {key: [test for test in ids if wanted.search(test)] for key, ids in classes.items()}
    chosen = {key: ids for key, ids in chosen.items() if ids}
    expected, begin = [] if options.standard else read_expected(), time.monotonic()
    counts, unexpected = collections.Counter(), []

    def run(key):
        outcomes = run_class(folder, options.python, key, chosen[key], options.limit)
        bad = [test for test, (outcome, _) in outcomes.by_test.items() if judge(test, outcome, expected)]
        if bad or outcomes.faults:  # a machine that was busy for a moment is no fault
            outcomes.faults.clear()
            again = run_class(folder, options.python, key, bad or chosen[key], options.limit)
            outcomes.by_test.update(again.by_test)
            outcomes.faults += again.faults
        return outcomes

    # The longest first, so that all jobs end at about the same time.
    keys = sorted(chosen, key=lambda key: -len(chosen[key]))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as jobs:
        for outcomes in jobs.map(run, keys):
            unexpected += [f"fixture: {fault}" for fault in outcomes.faults]
            for test, (outcome, detail) in sorted(outcomes.by_test.items()):
                counts[outcome] += 1
                what = judge(test, outcome, expected)
                if what:
                    unexpected.append(f"{test}: {what}\n{detail}".rstrip())
                elif options.v and outcome not in ("passed", "skipped"):
                    print(f"{test}: {outcome}, as expected\n{detail}", flush=True)
    for line in unexpected:
        print(f"unexpected: {line}\n", flush=True)
    failed = sum(counts[outcome] for outcome in ("failed", "hung"))
    print(
        f"cpython: {counts['passed']} passed, {failed} failed, {counts['skipped']} skipped, "
        f"{len(unexpected)} not as expected, {time.monotonic() - begin:.0f} s"
    )
    return 1 if unexpected or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
