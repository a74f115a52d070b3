"""The programs of docs/ that need what CI has not, by the name that stands over them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def programs(page):
    """Return each program of a page that is marked as run here, and what it prints, or None."""
    block = re.compile(
        r"<!-- not run here, but by scripts/elsewhere[^\n]*-->\n```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?",
        re.DOTALL | re.MULTILINE,
    )
    return [(found[1], found[2]) for found in block.finditer((ROOT / "docs" / page).read_text())]
