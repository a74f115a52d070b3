"""The fault matrix holds for procession, under every start method."""

import subprocess
import sys
from pathlib import Path

import pytest

from benches.faults.probe import PROBES
from benches.faults.runner import run

ROOT = Path(__file__).parent.parent
# Limits are about bounded time here, on machines that run other tests besides; benches.faults measures.
PATIENCE = 1000


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("number", PROBES, ids=lambda number: f"{number}-{PROBES[number].__name__}")
def test_procession_passes_the_probe(number, start_method):
    verdict = run(number, "procession", start_method, PATIENCE)
    if verdict.ok is None:
        pytest.skip("not offered")
    assert verdict.ok, f"{verdict.what}\n{verdict.detail}"


@pytest.mark.parametrize("number, what", [(14, "lost silently"), (17, "AssertionError"), (10, "leaves 2 processes")])
def test_a_probe_finds_what_is_known_of_the_standard_library(number, what):
    verdict = run(number, "multiprocessing", "fork", 4)
    assert (verdict.ok, verdict.what) == (False, what)


def test_the_program_prints_a_table():
    command = [sys.executable, "-m", "benches.faults", "--probe", "14", "--library", "multiprocessing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True)
    assert "| 14 `put()` of an unpicklable object | **lost silently** |" in done.stdout
