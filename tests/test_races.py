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


def test_races_without_time_say_how_many_rounds_there_were():
    options = ("--kind", "threads", "--end", "close", "--end", "terminate")
    told = race("--rounds", "1000000", "--each", "--minutes", "0.01", *options).splitlines()
    done, _, wanted, _ = told[-1].removeprefix("all: ").split()
    assert [line.partition(",")[0].split(": ")[1] for line in told[:-1]] == ["terminate", "close"]
    assert 0 < int(done) < int(wanted) == 2_000_000


def race(*options):
    command = [sys.executable, "-W", "ignore", "-m", "benches.faults.races", *options]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout
