"""The sweep of ordinary workloads: results are right in every kind of cell, and its page tells what was measured."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benches.sweep.alike import digest
from benches.sweep.cells import START_METHODS, all_cells
from benches.sweep.methods import CHANNELS, METHODS
from benches.sweep.page import page
from benches.sweep.pairs import Outcome
from benches.sweep.plain import KINDS

ROOT = Path(__file__).parent.parent
CELLS = all_cells()


def test_there_are_many_cells_and_each_kind_method_and_start_method_is_in_some():
    assert len(CELLS) == len(set(CELLS)) >= 600
    assert {cell.method for cell in CELLS} == {*METHODS, *CHANNELS}
    assert set(KINDS) <= {cell.subject for cell in CELLS}
    assert {cell.start_method for cell in CELLS} == set(START_METHODS)


# All methods and channels with a kind, all kinds by a method and a channel, and a draw of the rest.
@pytest.mark.parametrize(
    "cells",
    [
        "both/array_1k/spawn|results/array_1k/spawn",
        "^map/(both|results)",
        "^queue/",
        "^(map|imap)/function",
        "both/.*server",
    ],
)
def test_results_of_ordinary_workloads_are_right(cells):
    command = [sys.executable, "-m", "benches.sweep", "--quick", "--sample", "1000", "--cells", cells]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert told.returncode == 0, told.stderr
    right, _, count = told.stdout.split()[:3]
    assert right == count and int(count) > 5


def used(seconds):
    return {"seconds": seconds, "cpu_s": seconds, "peak_mib": 10 * seconds}


def test_the_page_tells_what_is_slower():
    slow = Outcome(CELLS[0], 100, [(used(1.0), used(2.0)), (used(1.0), used(2.1)), (used(1.0), used(1.9))])
    fast = Outcome(CELLS[1], 100, [(used(8.0), used(1.0))] * 3)
    broken = Outcome(CELLS[2], wrong={"procession": "wrong results"})
    text = page([slow, fast, broken], SimpleNamespace(pairs=3))
    assert "2 cells, geometric mean 2.00x, 1 slower" in text
    assert f"| {CELLS[0].name} | 100 | 0.50 |" in text
    assert f"{CELLS[2].name}, procession: wrong results" in text


def test_values_are_alike_only_with_their_types():
    assert digest([1, 2]) == digest([1, 2]) != digest((1, 2))
    assert digest({"a": 1.0}) != digest({"a": 1})
    assert digest("x" * 1000) != digest("x" * 1001)
