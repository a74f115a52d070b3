"""Interpreters that were built against an old C library lack names that the kernel would serve."""

import os
import subprocess
import sys
from pathlib import Path

import procession
import pytest

FOLDER = Path(__file__).parent / "programs/old_interpreter"
LIMIT = 100


@pytest.mark.parametrize("method", procession.get_all_start_methods())
def test_every_kind_of_object_works_where_the_interpreter_lacks_newer_calls(method):
    environment = {**os.environ, "PYTHONPATH": str(FOLDER)}  # which children have, too
    command = [sys.executable, "-W", "ignore", str(FOLDER / "every_kind.py"), method]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert (run.stdout, run.stderr, run.returncode) == ("all work\n", "", 0)
