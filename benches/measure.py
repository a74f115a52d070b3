"""Takes single numbers, each from a process of its own, and arranges them: by turns, or in pairs."""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from benches import libraries
from benches.libraries import OURS, STANDARD, NotOffered
from benches.workload import LIMIT, NOT_OFFERED

ROOT = Path(__file__).parent.parent
LIMIT_S = 300
# A peer that has no number after this time is asked for a tenth of the work, and only once.
SLOW_S = 45


class Failed(Exception):
    """A measurement gave no number."""


class TooSlow(Failed):
    """A measurement was ended at its limit."""


@dataclass
class Found:
    """What was measured of a row under one start method.

    Attributes:
        numbers: the median of each library that gave one, and of `LIMIT`, by name.
        pairs: the numbers of an earlier build and of this one, measured one after the other.
    """

    numbers: dict[str, float]
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def others(self):
        """The numbers of all libraries but ours."""
        return {name: number for name, number in self.numbers.items() if name not in (OURS, LIMIT)}


class Runner:
    """Measures rows, and says on stderr why there is no number.

    Args:
        rounds: how many numbers are taken of each library.
        quick: whether rough numbers are enough.
        peers: the libraries to measure besides the standard library and ours.
        before: the interpreter of an environment with an earlier build of ours, or None.
        pairs: how many numbers are taken of each build.
    """

    def __init__(self, rounds, quick, peers=(), before=None, pairs=0):
        self.rounds, self.quick, self.before, self.pairs = rounds, quick, before, pairs
        self.names = [STANDARD, OURS, *filter(libraries.installed, peers)]
        if missing := [name for name in peers if name not in self.names]:
            print(f"not installed: {', '.join(missing)}", file=sys.stderr)

    def row(self, row, start_method, has_limit=False):
        """Measures a row under one start method.

        Args:
            row: its name.
            start_method: of the libraries that can choose.
            has_limit: whether the row says what the machine gives without a library.
        """
        found = Found(self._by_turns(row, start_method, [*self.names, *([LIMIT] if has_limit else [])]))
        if self.before:
            found.pairs = self._in_pairs(row, start_method)
        return found

    def _by_turns(self, row, start_method, names):
        numbers, left, not_offered = {}, list(names), {}
        for turn in range(self.rounds):
            for name in list(left) if turn % 2 == 0 else left[::-1]:
                try:
                    number, is_last = self._one(row, name, start_method)
                    numbers.setdefault(name, []).append(number)
                except NotOffered as error:
                    not_offered.setdefault(str(error), []).append(name)
                    is_last = True
                except Failed as error:
                    print(f"{row} {start_method}, {name}: {error}", file=sys.stderr)
                    is_last = True
                if is_last:
                    left.remove(name)
        for reason, lacking in not_offered.items():
            print(f"{row} {start_method}: {reason} in {', '.join(lacking)}", file=sys.stderr)
        return {name: median(taken) for name, taken in numbers.items()}

    def _one(self, row, name, start_method):
        """A number, and whether it is the last that is asked for."""
        if name in (STANDARD, OURS, LIMIT) or self.quick:
            return measure(row, name, start_method, self.quick), False
        try:
            return measure(row, name, start_method, limit_s=SLOW_S), False
        except TooSlow:
            print(f"{row} {start_method}, {name}: slow, measured once, with a tenth of the work", file=sys.stderr)
            return measure(row, name, start_method, quick=True), True

    def _in_pairs(self, row, start_method):
        pairs = []
        for pair in range(self.pairs):
            taken = {}
            for build, python in sorted({"before": self.before, "now": sys.executable}.items(), reverse=pair % 2 == 1):
                try:
                    taken[build] = measure(row, OURS, start_method, self.quick, python)
                except (NotOffered, Failed) as error:
                    print(f"{row} {start_method}, {build}: {error}", file=sys.stderr)
                    return pairs
            pairs.append((taken["before"], taken["now"]))
        return pairs


def measure(row, name, start_method, quick=False, python=sys.executable, limit_s=LIMIT_S):
    """One number of one library, from a process of its own.

    Raises:
        NotOffered: the library has not what the row measures.
        TooSlow: there was no number after `limit_s` seconds.
        Failed: the measurement failed; with the end of what it said.
    """
    command = [python, "-m", f"benches.rows.{row}", name, start_method, *(["--quick"] if quick else [])]
    # Files, as what a library leaves behind would hold pipes open.
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as errors,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
    ):
        environment = os.environ | dict.fromkeys(("TMPDIR", "RAY_TMPDIR"), scratch)
        process = subprocess.Popen(
            command, stdout=out, stderr=errors, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise TooSlow(f"no number after {limit_s} s")
        finally:
            _end(process)
        out.seek(0)
        errors.seek(0)
        if status == 0:
            return float(out.read().split()[-1])
        said = errors.read().strip()
    raise NotOffered(said) if status == NOT_OFFERED else Failed(f"status {status}: {said[-500:]}")


def _end(process):
    """Ends a measurement with all its processes, which a failed one may have left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def spread(numbers):
    """The median of some numbers, and the bounds of their middle half."""
    if len(numbers) < 2:
        return numbers[0], numbers[0], numbers[0]
    low, _, high = quantiles(numbers, n=4, method="inclusive")
    return median(numbers), low, high
