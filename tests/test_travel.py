"""The measurement of how values of libraries travel: it looks at what arrives, and fills its place in a page."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benches.libraries import OURS, STANDARD
from benches.page import records, tables
from benches.travel.__main__ import ordinary, row
from benches.travel.facts import facts, lost
from benches.travel.values import KINDS, by_pickle, make

ROOT = Path(__file__).parent.parent
PAGE = "# Page\n\nBefore.\n\n<!-- travel: filled by a test -->\n<!-- end -->\n\nAfter.\n"
OF_NUMPY = [name for name, kind in KINDS.items() if kind.library == "numpy"]
ROWS = ["numpy: array in Fortran's order", "numpy: masked array"]


def found(**more):
    ways = {"argument_s": [0.5], "result_s": [0.25], "argument_copies": 1.0, "result_copies": 2.0}
    return ways | {"kept": ["type", "order", "items"], "lost": []} | more


def test_values_of_numpy_travel_and_fill_the_table_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    command = [sys.executable, "-m", "benches.travel", "--mib", "1", "--pairs", "1", "--torch", "/nowhere/python"]
    command += ["--start-methods", "fork", "--write", page, "--values", *ROWS, "torch: transposed tensor"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert told.returncode == 0, told.stderr
    assert "torch: transposed tensor: no torch here" in told.stderr
    (table,) = tables(page)
    filled = records(table)
    assert [line["value"] for line in filled] == ROWS
    assert [line["kept"].split(", ")[-1] for line in filled] == ["flags", "fill value"]
    text = page.read_text()
    assert text.startswith("# Page\n\nBefore.\n\n<!-- travel: filled by a test -->\n")
    assert text.endswith("\n\n<!-- end -->\n\nAfter.\n")
    assert "/nowhere" not in text


@pytest.mark.parametrize("name", OF_NUMPY)
def test_a_value_is_what_plain_pickle_makes_of_it(name):
    assert lost(facts(by_pickle(make(name, 1))), facts(make(name, 1))) == []


def test_what_differs_between_values_is_named():
    rows = np.ones((4, 8))
    assert lost(facts(np.asfortranarray(rows)), facts(rows)) == ["order"]
    assert lost(facts(rows.astype(">f8")), facts(rows)) == ["dtype", "items"]
    assert lost(facts(rows.view(np.matrix)), facts(rows)) == ["type"]
    masked = np.ma.array(rows, fill_value=3.0)
    assert lost(facts(np.ma.array(rows)), facts(masked)) == ["fill value"]
    assert lost(facts(rows), facts(masked)) == ["type"]


def test_what_is_lost_stands_out_in_the_table():
    cells, wrong = row("a value", "fork", {STANDARD: found(), OURS: found(lost=["order"])})
    assert (cells[-1], wrong) == ("**not order**", "not order")


def test_a_row_shows_both_times_and_both_numbers_of_copies():
    cells, wrong = row("a value", "fork", {STANDARD: found(argument_s=[1.0]), OURS: found()})
    assert cells[2:] == ["1,000, 500", "2x", "1.0, 1.0", "250, 250", "1x", "2.0, 2.0", "type, order"]
    assert not wrong


def test_a_failure_of_the_standard_library_is_shown_and_one_of_ours_is_wrong():
    cells, wrong = row("a value", "fork", {STANDARD: {"failed": "TimeoutError: "}, OURS: found()})
    assert (cells[2:5], wrong) == (["fails, 500", "-", "-, 1.0"], "")
    assert row("a value", "fork", {STANDARD: found(), OURS: {"failed": "an error"}}) == (None, "an error")


def test_places_of_the_machine_are_not_in_the_command():
    assert ordinary(["--pairs", "3", "--torch", "/nowhere/python"]) == ["--pairs", "3"]
