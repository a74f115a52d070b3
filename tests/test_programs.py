"""Programs as the documentation of `multiprocessing` has them, under each start method: unchanged, on procession.

A program in `programs/` ends with what it prints, and gets the start method as its argument.
"""

import subprocess
import sys
from pathlib import Path

import procession
import pytest

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))
LIMIT_S = 90


def expected_output(program):
    """Return the lines that a program says it prints, and whether their order is left open."""
    lines = program.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("# prints"))
    return [line.removeprefix("# ") for line in lines[start + 1 :]], "any order" in lines[start]


@pytest.mark.parametrize("method", procession.get_all_start_methods())
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_documented_program_does_what_it_says(program, method):
    command = [sys.executable, "-m", "procession", str(program), method]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    lines, open_order = expected_output(program)
    printed = result.stdout.splitlines()
    assert (sorted(printed) if open_order else printed) == (sorted(lines) if open_order else lines), result.stderr
    assert result.returncode == 0 and "Traceback" not in result.stderr and "Warning" not in result.stderr, result.stderr
