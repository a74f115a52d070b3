"""Jobs that eight threads hand in while their pool ends; `scripts/campaign` runs many more rounds."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIMIT_S = 110


@pytest.mark.parametrize("kind", ["pool", "handle", "executor"])
def test_every_call_that_meets_the_end_of_its_pool_has_an_answer(context, kind):
    race("--rounds", "96", "--kind", kind, "--start-method", context.get_start_method())


def test_every_call_that_meets_the_end_of_a_pool_of_threads_has_an_answer():
    race("--rounds", "200", "--kind", "threads")


def race(*options):
    command = [sys.executable, "-W", "ignore", "-m", "benches.faults.races", *options]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
