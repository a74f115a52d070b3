"""Draws the tables of benches/results.md and benches/growth.md as docs/speed.svg, docs/peers.svg and docs/growth.svg.

`--results table.md --into folder` draws what `python -m benches --write table.md` has written.
Needs matplotlib: pip install --group bench
"""

import argparse
import textwrap
from pathlib import Path

from benches.libraries import LIBRARIES, OURS, STANDARD
from benches.page import BENCHES, number, records, tables

DOCS = BENCHES.parent / "docs"
OUR_COLOR, STANDARD_COLOR, PEER_COLOR = "#0b6e4f", "#6b7a8f", "#c3c8cf"
TIMES = f"times better than {STANDARD}"
COLUMNS = 4


def draw_speed(pyplot, results, file):
    """Bars: how many times better procession and the best peer of each row are than the standard library."""
    rows = [row for row in reversed(records(results[0])) if number(row[TIMES]) is not None]
    figure, axes = pyplot.subplots(figsize=(9.5, 0.34 * len(rows) + 1))
    for place, row in enumerate(rows):
        ours, peer = number(row[TIMES]), _best_peer(row)
        _bar(axes, place, ours, f"{ours:.3g}", OUR_COLOR, 0.2 if peer else 0)
        if peer:
            _bar(axes, place, peer[1], f"{peer[0]} {peer[1]:.3g}", PEER_COLOR, -0.2)
    axes.set_yticks(range(len(rows)), [_plain(row["workload"]) for row in rows], fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel(f"{TIMES}, which is 1 (log scale)")
    bars = [axes.barh(0, 0, color=color) for color in (OUR_COLOR, PEER_COLOR)]
    if any(_best_peer(row) for row in rows):
        names = (OURS, f"the best other library, where that is not {STANDARD}")
        axes.legend(bars, names, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    _finish(figure, axes, file=file)


def _best_peer(row):
    """The name of a row's best peer, and how many times better it is than the standard library; None without one."""
    name, _, text = row.get("best peer", "-").partition(" ")
    if not text or name == STANDARD or "-" in (row[TIMES], row["times better than the best peer"]):
        return None
    return name, number(row[TIMES]) / number(row["times better than the best peer"])


def _bar(axes, place, length, text, color, offset):
    axes.barh(place + offset, length - 1, left=1, color=color, height=0.38 if offset else 0.6)
    axes.text(max(length, 1) * 1.04, place + offset, text, va="center", fontsize=7)


def draw_peers(pyplot, results, file):
    """A panel for each row that several peers offer: the number of every library, the best at the top."""
    rows = [row for row in records(results[1]) if sum(_is_number(row, name) for name in LIBRARIES) > 4]
    lines = -(-len(rows) // COLUMNS)
    figure, grid = pyplot.subplots(lines, COLUMNS, figsize=(3.4 * COLUMNS, 2.3 * lines), squeeze=False)
    for axes, row in zip(grid.flat, rows, strict=False):
        found = {name: number(row[name]) for name in LIBRARIES if _is_number(row, name)}
        order = sorted(found, key=found.get, reverse=row["better"] == "less")
        colors = [{OURS: OUR_COLOR, STANDARD: STANDARD_COLOR}.get(name, PEER_COLOR) for name in order]
        axes.barh(order, [found[name] for name in order], color=colors)
        least, most = min(found.values()), max(found.values())
        if most / least > 20:
            axes.set_xscale("log")
            axes.set_xlim(least / 2, most * 12)
        else:
            axes.set_xlim(0, most * 1.3)
        for place, name in enumerate(order):
            axes.text(found[name], place, f" {row[name]}", va="center", fontsize=7)
        scale = [row["unit"], f"{row['better']} is better", "log scale" if axes.get_xscale() == "log" else ""]
        heading = textwrap.wrap(_plain(row["workload"]), 36)
        axes.set_title("\n".join([*heading, ", ".join(filter(None, scale))]), fontsize=8)
        axes.tick_params(labelsize=7)
        axes.xaxis.set_visible(False)
    for axes in list(grid.flat)[len(rows) :]:
        axes.set_visible(False)
    _finish(figure, *grid.flat, file=file)


def _is_number(row, name):
    return row.get(name, "-") != "-"


def _plain(title):
    return title.replace("`", "")


def draw_growth(pyplot, found, file):
    """Curves of both libraries, and of the limit, over the number of tasks, of workers, and the size of payloads."""
    figure, grid = pyplot.subplots(1, len(found), figsize=(4 * len(found), 3.4))
    for axes, (head, *rows) in zip(grid, found, strict=True):
        for column, color in zip(range(2, len(head)), (STANDARD_COLOR, OUR_COLOR, PEER_COLOR), strict=False):
            points = [(number(row[0]), number(row[column])) for row in rows]
            points = [point for point in points if point[1] is not None]
            axes.plot(*zip(*points, strict=True), marker="o", color=color, label=head[column])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(head[0])
        axes.set_ylabel(rows[0][1])
        axes.legend(fontsize=8)
    _finish(figure, *grid, file=file)


def _finish(figure, *all_axes, file):
    for one in all_axes:
        one.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main():
    """Draws the pictures."""
    command = argparse.ArgumentParser(prog="python -m benches.picture", description=__doc__.splitlines()[0])
    command.add_argument(
        "--results", type=Path, default=BENCHES / "results.md", help="a page that the benchmarks wrote"
    )
    command.add_argument("--into", type=Path, default=DOCS, help="the folder of the pictures (default: docs)")
    options = command.parse_args()
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "procession"  # the same picture for the same numbers
    from matplotlib import pyplot

    results = tables(options.results.absolute())
    draw_speed(pyplot, results, options.into / "speed.svg")
    if len(results) > 1:
        draw_peers(pyplot, results, options.into / "peers.svg")
    draw_growth(pyplot, tables("growth.md")[:3], options.into / "growth.svg")


if __name__ == "__main__":
    main()
