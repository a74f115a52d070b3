"""Puts the tables of results.md and faults.md into README.md and docs/performance.md, between their comments."""

import re

from benches.page import BENCHES, markdown, paragraphs, tables

ROOT = BENCHES.parent
# The rows of the speed table that a reader wants first.
SPEED = ("`apply`", "`map`", "`imap_", "uneven", "CPU-bound", "pool of 2:", "`Process`", "`Queue`", "64 arrays", "job")
PEERS = "![Bars: the number of every library, for the workloads that several offer](peers.svg)"


def faults():
    """The fault matrix."""
    return [*paragraphs("faults.md"), markdown(tables("faults.md")[0])]


def speed():
    """The machine of the last run, and its first rows."""
    head, *rows = tables("results.md")[0]
    return [paragraphs("results.md")[0], markdown([head, *(row for row in rows if row[0].startswith(SPEED))])]


def all_speed():
    """The last run: machine, command, all rows, and the pictures."""
    pictures = [PEERS] if (ROOT / "docs/peers.svg").exists() else []
    return [*paragraphs("results.md"), markdown(tables("results.md")[0]), *pictures]


PAGES = {"README.md": {"faults": faults, "speed": speed}, "docs/performance.md": {"speed": all_speed}}


def fill(text, name, parts):
    """The text of a page with some paragraphs in the place that is called `name`."""
    found = re.search(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", text, re.DOTALL)
    assert found, f"no place for {name}"
    filled = "\n\n".join(parts)
    return f"{text[: found.start()]}{found[1]}\n{filled}\n\n{found[2]}{text[found.end() :]}"


def main():
    """Rewrites the pages."""
    for page, places in PAGES.items():
        text = (ROOT / page).read_text()
        for name, parts in places.items():
            text = fill(text, name, parts())
        (ROOT / page).write_text(text)


if __name__ == "__main__":
    main()
