"""Programs as the documentation of `multiprocessing` has them, under each start method: unchanged, on procession.

A program in `programs/` ends with what it prints, and gets the start method as its argument.
"""

import os
import subprocess
import sys
from pathlib import Path

import procession
import pytest

PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))
LIMIT_S = 90


def environment(open_order):
    """Return an environment in which lines come in the order that they are printed in, whatever is set here.

    Where the order is left open, processes may print at the same time: unbuffered output would mix their lines.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return kept if open_order else {**kept, "PYTHONUNBUFFERED": "1"}


def expected_output(program):
    """Return the lines that a program says it prints, and whether their order is left open."""
    lines = program.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("# prints"))
    return [line.removeprefix("# ") for line in lines[start + 1 :]], "any order" in lines[start]


@pytest.mark.parametrize("method", procession.get_all_start_methods())
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_documented_program_does_what_it_says(program, method):
    command = [sys.executable, "-m", "procession", str(program), method]
    lines, open_order = expected_output(program)
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment(open_order))
    printed = result.stdout.splitlines()
    assert (sorted(printed) if open_order else printed) == (sorted(lines) if open_order else lines), result.stderr
    assert result.returncode == 0 and "Traceback" not in result.stderr and "Warning" not in result.stderr, result.stderr
