"""What the sweep prints: the worst cells, the mean, a histogram."""

import math
import os
import platform

WORST = 30
BOUNDS = (0.25, 0.5, 0.8, 0.97, 1.0, 1.2, 1.5, 2, 3, 5, 10, 30, 100, math.inf)
# More than this times the standard library's CPU time or memory is told.
MORE = 1.1
# What is compared, by its title: the figure, its unit and factor, and how much of it is enough to be measured well.
COMPARED = {"CPU time": ("cpu_s", "ms", 1000, 0.005), "memory": ("peak_mib", "MiB", 1, 2.0)}


def page(outcomes, options):
    """Return the page.

    Args:
        outcomes: the `Outcome` of each cell.
        options: the command line.
    """
    measured = [outcome for outcome in outcomes if outcome.pairs]
    lines = [
        "# Ordinary workloads beside multiprocessing",
        "",
        f"`python -m benches.sweep --pairs {options.pairs}`, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"CPython {platform.python_version()}. A cell is method/direction/values/start method; a number is how many "
        "times better than `multiprocessing`, the median of the pairs with the bounds of their middle half. CPU time "
        "and memory are of all processes, `multiprocessing` -> procession; memory is what the peak is above the start.",
        "",
    ]
    if measured:
        lines += _summary(measured)
        for title in COMPARED:
            lines += _more(title, measured)
    else:
        lines += ["No cell was measured."]
    for outcome in outcomes:
        for library, why in outcome.wrong.items():
            lines += ["", f"{outcome.cell.name}, {library}: {why}"]
    return "\n".join([*lines, ""])


def _summary(measured):
    ratios = [outcome.times()[0] for outcome in measured]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    more = [f"{sum(uses_more(outcome, title) for outcome in measured)} more {title}" for title in COMPARED]
    lines = [
        f"{len(measured)} cells, geometric mean {mean:.2f}x, {sum(map(is_slower, measured))} slower than "
        f"`multiprocessing`. More than {MORE} times as much: {', '.join(more)}.",
        "",
        "## The worst",
        "",
        "| cell | values | times better | middle half | CPU time, ms | memory, MiB |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in sorted(measured, key=lambda outcome: outcome.times()[0])[:WORST]:
        times, low, high = outcome.times()
        used = " | ".join(both(outcome, title) for title in COMPARED)
        lines.append(f"| {outcome.cell.name} | {outcome.count} | {times:.2f} | {low:.2f} to {high:.2f} | {used} |")
    lines += ["", "## How many cells", "", "| times better | cells |", "|---|---|"]
    below = 0.0
    for bound in BOUNDS:
        lines.append(f"| {below:g} to {bound:g} | {sum(below <= ratio < bound for ratio in ratios)} |")
        below = bound
    return lines


def _more(title, measured):
    what, unit, _, _ = COMPARED[title]
    most = sorted((each for each in measured if uses_more(each, title)), key=lambda each: each.times(what)[0])
    rows = [f"| {outcome.cell.name} | {both(outcome, title)} |" for outcome in most[:WORST]]
    return ["", f"## More {title} than multiprocessing", "", f"| cell | {title}, {unit} |", "|---|---|", *rows]


def is_slower(outcome):
    """Whether a cell is slower here, and not by noise alone."""
    times, _, high = outcome.times()
    return times < 0.97 or (times < 1 and high < 1)


def uses_more(outcome, title):
    """Whether a cell uses more of something here, as far as that is enough to be measured."""
    what, _, _, least = COMPARED[title]
    return outcome.middle("procession", what) > max(MORE * outcome.middle("multiprocessing", what), least)


def both(outcome, title):
    """What the standard library used, and procession, as text."""
    what, _, factor, _ = COMPARED[title]
    return " -> ".join(f"{outcome.middle(name, what) * factor:.1f}" for name in ("multiprocessing", "procession"))
