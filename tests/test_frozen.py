"""Programs that are frozen into an executable: it is the only interpreter there is, and takes no `-c`.

A launcher stands for one: a file that runs as a program, says that it is frozen, and has the program's code in it.
`scripts/frozen` does the same with PyInstaller.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

PROGRAM = Path(__file__).parent / "programs" / "frozen" / "program.py"
LIMIT_S = 100
LAUNCHER = """\
#!{python}
import sys
sys.frozen, sys.executable, __file__ = True, {launcher!r}, "/in/the/executable/program.py"
"""
EXPECTED = """\
process 0 True 7
pool [(2, 1), (4, 3)]
lambda [2, 4]
manager list
arguments ['one', '--two']
"""


@pytest.fixture
def launcher(tmp_path):
    """A file that behaves as a frozen program."""
    path = tmp_path / "launcher"
    path.write_text(LAUNCHER.format(python=sys.executable, launcher=str(path)) + PROGRAM.read_text())
    path.chmod(0o755)
    return path


def run(launcher, context, **variables):
    environment = {**os.environ, "METHOD": context.get_start_method(), **variables}
    command = [launcher, "one", "--two"]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment)


def test_a_frozen_program_starts_processes_and_helpers(launcher, context):
    done = run(launcher, context)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(EXPECTED)
    assert done.stderr == ""


def test_no_helper_of_a_frozen_program_outlives_it(launcher, context):
    done = run(launcher, context)
    helper = int(re.search(r"^helper (\d+)$", done.stdout, re.MULTILINE)[1])
    assert not psutil.pid_exists(helper)


def test_a_frozen_program_that_forgets_its_first_line_does_not_start_itself_for_ever(launcher, context):
    done = run(launcher, context, FORGETS="yes")
    assert "RuntimeError: this program is frozen into an executable" in done.stderr
    assert "procession.freeze_support()" in done.stderr
    # What forks needs no other interpreter but for the helper that removes named memory.
    assert (done.returncode == 0) == (context.get_start_method() == "fork")
