"""Arranges single numbers: by turns of all libraries, or in pairs of two builds."""

import sys
from dataclasses import dataclass, field
from statistics import median, quantiles

from benches import libraries
from benches.libraries import OURS, STANDARD, NotOffered
from benches.measure import Failed, measure
from benches.workload import LIMIT, QUICK_PART

# How long a peer may take for a number.
PATIENCE_S = 120
# A peer whose work would take longer does a tenth of it; half a second is enough for a rate.
LONG_S = 5
# A peer whose first number is so many times worse than ours is asked once: more digits would not bring it nearer.
FAR = 3


@dataclass
class Found:
    """What was measured of a row under one start method.

    Attributes:
        numbers: the median of each library that gave one, and of `LIMIT`, by name.
        pairs: the numbers of an earlier build and of this one, measured one after the other.
        in_part: the libraries whose number is from a tenth of the work.
    """

    numbers: dict[str, float]
    pairs: list[tuple[float, float]] = field(default_factory=list)
    in_part: set[str] = field(default_factory=set)

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

    def row(self, row, workload, start_method, has_limit=False):
        """Measures a row under one start method.

        Args:
            row: its name.
            workload: what it says of itself.
            start_method: of the libraries that can choose.
            has_limit: whether the row says what the machine gives without a library.
        """
        found = self._by_turns(row, workload, start_method, [*self.names, *([LIMIT] if has_limit else [])])
        if self.before:
            found.pairs = self._in_pairs(row, start_method)
        return found

    def _by_turns(self, row, workload, start_method, names):
        taken, left, in_part, not_offered = {}, list(names), set(), {}
        for turn in range(self.rounds):
            for name in list(left) if turn % 2 == 0 else left[::-1]:
                try:
                    number, is_last = self._ask(row, workload, name, start_method, taken, in_part)
                    taken.setdefault(name, []).append(number)
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
        return Found({name: median(numbers) for name, numbers in taken.items()}, in_part=in_part)

    def _ask(self, row, workload, name, start_method, taken, in_part):
        """Takes a number of a library, a peer's from no more work than it needs, and says whether it is the last."""
        if name in (STANDARD, OURS, LIMIT):
            return measure(row, name, start_method, self.quick).number, False
        is_first = name not in taken
        if is_first and not (self.quick or workload.whole):
            part = measure(row, name, start_method, quick=True, limit_s=PATIENCE_S)
            if part.work_s * QUICK_PART > LONG_S:
                in_part.add(name)
                return part.number, self._is_far(workload, part.number, taken)
        number = measure(row, name, start_method, self.quick or name in in_part, limit_s=PATIENCE_S).number
        return number, is_first and self._is_far(workload, number, taken)

    @staticmethod
    def _is_far(workload, number, taken):
        behind = workload.times_better(taken[OURS][0], number) if OURS in taken else None
        return behind is not None and behind > FAR

    def _in_pairs(self, row, start_method):
        pairs = []
        for pair in range(self.pairs):
            taken = {}
            for build, python in sorted({"before": self.before, "now": sys.executable}.items(), reverse=pair % 2 == 1):
                try:
                    taken[build] = measure(row, OURS, start_method, self.quick, python).number
                except (NotOffered, Failed) as error:
                    print(f"{row} {start_method}, {build}: {error}", file=sys.stderr)
                    return pairs
            pairs.append((taken["before"], taken["now"]))
        return pairs


def spread(numbers):
    """The median of some numbers, and the bounds of their middle half."""
    if len(numbers) < 2:
        return numbers[0], numbers[0], numbers[0]
    low, _, high = quantiles(numbers, n=4, method="inclusive")
    return median(numbers), low, high
