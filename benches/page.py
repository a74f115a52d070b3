"""Reads the pages that the measurements write: their paragraphs and tables."""

from pathlib import Path

BENCHES = Path(__file__).parent


def tables(page):
    """The tables of a page, of this folder unless its path is absolute.

    Returns:
        A list of tables, each a list of rows, each a list of texts; the first row is the head.
    """
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


def paragraphs(page):
    """What stands between a page's title and its first table: the machine, the command."""
    _, *parts = (BENCHES / page).read_text().split("\n\n")
    return [part.strip() for part in parts[: next(at for at, part in enumerate(parts) if part.startswith("|"))]]


def markdown(table):
    """A table as lines of Markdown."""
    head, *rows = (f"| {' | '.join(cells)} |" for cells in table)
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])


def records(table):
    """The rows of a table as dictionaries by the names of its columns."""
    head, *rows = table
    return [dict(zip(head, row, strict=True)) for row in rows]


def number(text):
    """The number that a cell shows, whatever stands behind it; None for a dash."""
    return None if text.strip() == "-" else float(text.split()[0].replace(",", ""))
