"""Puts the tables of benches/results.md and benches/faults.md into the README, between its comments."""

import re
from pathlib import Path

BENCHES = Path(__file__).parent
README = BENCHES.parent / "README.md"
# The rows of the speed table that a reader wants first.
SPEED = (
    "workload",
    "---",
    "`apply`",
    "`map`",
    "`imap_unordered`",
    "uneven",
    "CPU-bound",
    "pool of 2",
    "`Process`",
    "`Queue`",
)


def table(page, wanted=("",)):
    """A page's first paragraph, and the rows of its table that begin with one of `wanted`."""
    _, machine, *lines = (BENCHES / page).read_text().split("\n\n")
    rows = [line for line in "\n".join(lines).splitlines() if line.startswith("|")]
    return machine.strip() + "\n\n" + "\n".join(row for row in rows if row.strip("| ").startswith(wanted))


def main():
    """Rewrites the README."""
    text = README.read_text()
    for name, rows in (("faults", table("faults.md")), ("speed", table("results.md", SPEED))):
        pattern = rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)"
        found = re.search(pattern, text, re.DOTALL)
        assert found, f"the README has no place for {name}"
        text = f"{text[: found.start()]}{found[1]}\n{rows}\n\n{found[2]}{text[found.end() :]}"
    README.write_text(text)


if __name__ == "__main__":
    main()
