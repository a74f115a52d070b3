"""The tables of a run as Markdown: procession beside the others, and every library's number."""

from benches.libraries import LIBRARIES, OURS, STANDARD
from benches.runner import spread
from benches.workload import LIMIT

EVERY_LIBRARY = "## Every library"
# Stands behind a number that is from a tenth of the work.
IN_PART = "(1/10)"


def shown(number):
    """A number with three digits that say something."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _of(found, name):
    """The cell of a library."""
    text = shown(found.numbers.get(name))
    return f"{text} {IN_PART}" if name in found.in_part else text


def _line(cells):
    return f"| {' | '.join(cells)} |"


def _head(columns):
    return [_line(columns), "|" + "---|" * len(columns)]


class Comparison:
    """The table of procession beside the others; it grows a line at a time.

    Args:
        peers: whether others than the standard library are measured.
        before: whether an earlier build is.
    """

    def __init__(self, peers, before):
        self._peers, self._before = peers, before

    def head(self):
        """The table's first two lines."""
        columns = ["workload", "unit", STANDARD]
        columns += ["best peer"] if self._peers else []
        columns += [OURS, f"times better than {STANDARD}"]
        columns += ["times better than the best peer"] if self._peers else []
        columns += ["times better than before"] if self._before else []
        return _head([*columns, "limit", "aim", "met"])

    def line(self, workload, start_method, found):
        """A row: what was found, and whether the aim is met."""
        ours, standard = found.numbers.get(OURS), found.numbers.get(STANDARD)
        beside_standard = workload.times_better(ours, standard)
        cells = [title(workload, start_method), workload.unit, shown(standard)]
        beside_best = None
        if self._peers:
            others = found.others()
            best = (max if workload.higher_is_better else min)(others, key=others.get, default=None)
            beside_best = workload.times_better(ours, others.get(best))
            cells.append(f"{best} {_of(found, best)}" if best else "-")
        cells += [shown(ours), shown(beside_standard)]
        cells += [shown(beside_best)] if self._peers else []
        cells += [change(workload, found.pairs)] if self._before else []
        aim = workload.aim_of(start_method)
        met = aim and aim.met(ours, beside_standard, beside_best)
        verdict = {True: "yes", False: "no", None: "-"}[met]
        return _line([*cells, shown(found.numbers.get(LIMIT)), str(aim) if aim else "-", verdict])


def title(workload, start_method):
    """A row's first cell."""
    return f"{workload.title}, {start_method}" if workload.each_start_method else workload.title


def change(workload, pairs):
    """How many times better this build is than an earlier one.

    Returns:
        The median of the ratios within the pairs, the bounds of their middle half, in how many this build was better;
        and the ratio of the best numbers, which others that use the machine disturb least.
    """
    if not pairs:
        return "-"
    ratios = [workload.times_better(now, before) for before, now in pairs]
    middle, low, high = spread(ratios)
    better = sum(ratio > 1 for ratio in ratios)
    before, now = (max(build) if workload.higher_is_better else min(build) for build in zip(*pairs, strict=True))
    best = workload.times_better(now, before)
    return f"{middle:.3f} ({low:.3f} to {high:.3f}; better in {better} of {len(pairs)}; best {best:.3f})"


def every_library(rows, names):
    """A table with a column a library, as lines.

    Args:
        rows: of each row its workload, start method and `Found`.
        names: the libraries that were measured.
    """
    names = [name for name in LIBRARIES if name in names]
    lines = _head(["workload", "unit", "better", *names])
    for workload, start_method, found in rows:
        numbers = (_of(found, name) for name in names)
        better = "more" if workload.higher_is_better else "less"
        lines.append(_line([title(workload, start_method), workload.unit, better, *numbers]))
    return lines
