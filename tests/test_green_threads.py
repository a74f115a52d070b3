"""Programs whose threads are green, by gevent or eventlet: who waits stops no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "programs/green/every_kind.py"
LIMIT = 110


@pytest.mark.parametrize(
    "when, method", [("after", "fork"), ("after", "forkserver"), ("after", "spawn"), ("before", "forkserver")]
)
def test_every_kind_of_wait_lets_green_threads_run(when, method):
    command = [sys.executable, "-W", "ignore", str(PROGRAM), method, when]
    run = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=LIMIT)
    assert (run.stdout, run.stderr, run.returncode) == ("all work\n", "", 0)
