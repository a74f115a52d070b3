"""The programs of the README and of docs/ run, and print what the page says they print."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import procession._notices
import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(?P<skip><!-- not run[^\n]*-->\n)?^```python\n(?P<code>.*?)^```\n(?:\n?^```text\n(?P<prints>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
LIMIT_S = 60


def programs():
    """Every Python block: its code, and what stands in the text block right below it."""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            if not block["skip"]:
                line = text[: block.start("code")].count("\n") + 1
                yield pytest.param(block["code"], block["prints"], id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("code, prints", list(programs()))
def test_a_program_of_the_documentation_runs(code, prints, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(code)
    # Unbuffered output would mix the lines of processes that print at the same time.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=LIMIT_S, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    # A program that has no fault is not warned of one.
    assert not [name for name in procession._notices.__all__ if f" {name}: " in done.stderr], done.stderr
    if prints is not None:
        alike = doctest.OutputChecker().check_output(prints, done.stdout, doctest.ELLIPSIS)
        assert alike, f"the page says\n{prints}\nthe program printed\n{done.stdout}"


def pages():
    """Every Markdown page of the repository."""
    return [path for path in ROOT.rglob("*.md") if not {".venv", "target", ".pytest_cache"} & set(path.parts)]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
