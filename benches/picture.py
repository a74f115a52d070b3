"""Draws the tables of benches/results.md and benches/growth.md as docs/speed.svg and docs/growth.svg.

Needs matplotlib: pip install 'procession[bench]'
"""

from pathlib import Path

BENCHES = Path(__file__).parent
DOCS = BENCHES.parent / "docs"
OURS, THEIRS = "#0b6e4f", "#b8b8b8"


def tables(page):
    """The tables of a page, each a list of rows, each a list of texts; the first row is the head."""
    found, table = [], []
    for line in [*(BENCHES / page).read_text().splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if not line.startswith("|---"):
                table.append(cells)
        elif table:
            found.append(table)
            table = []
    return found


def number(text):
    """The number that a cell shows; None for a dash."""
    return None if text.strip() == "-" else float(text.replace(",", ""))


def draw_speed(pyplot):
    """Bars: how many times better procession is than the standard library, each row."""
    _, *rows = tables("results.md")[0]
    rows = [(row[0].replace("`", ""), number(row[4])) for row in reversed(rows) if number(row[4]) is not None]
    figure, axes = pyplot.subplots(figsize=(9, 0.28 * len(rows) + 1))
    axes.barh([title for title, _ in rows], [ratio for _, ratio in rows], color=OURS)
    for place, (_, ratio) in enumerate(rows):
        axes.text(ratio * 1.05, place, f"{ratio:.3g}", va="center", fontsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("times better than multiprocessing, which is 1 (log scale)")
    axes.tick_params(axis="y", labelsize=8)
    _finish(figure, axes, DOCS / "speed.svg")


def draw_growth(pyplot):
    """Curves of both libraries over the number of tasks, of workers, and the size of payloads."""
    found = tables("growth.md")
    figure, grid = pyplot.subplots(1, len(found), figsize=(4 * len(found), 3.4))
    for axes, (head, *rows) in zip(grid, found, strict=True):
        for column, color in ((2, THEIRS), (3, OURS)):
            points = [(number(row[0]), number(row[column])) for row in rows]
            points = [point for point in points if point[1] is not None]
            axes.plot(*zip(*points, strict=True), marker="o", color=color, label=head[column])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(head[0])
        axes.set_ylabel(rows[0][1])
        axes.legend(fontsize=8)
    _finish(figure, *grid, DOCS / "growth.svg")


def _finish(figure, *axes_and_file):
    *axes, file = axes_and_file
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def main():
    """Draws both pictures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "procession"  # the same picture for the same numbers
    from matplotlib import pyplot

    draw_speed(pyplot)
    draw_growth(pyplot)


if __name__ == "__main__":
    main()
