"""The command that runs the tests of other libraries: what it finds, and makes of it. No library is fetched here."""

import argparse
import sys

import pytest

from tests.dependents import __main__ as command, clients, places, runs
from tests.dependents.runs import Outcomes

SAMPLE = """
import os, sys, time, pytest
import multiprocessing

def test_a_passes(): pass
def test_b_fails(): assert 1 == 2
def test_c_hangs(): time.sleep(600)
def test_d_ends_the_process(): os._exit(3)
def test_e_is_skipped(): pytest.skip("no reason")
def test_f_fails_in_its_end(request): request.addfinalizer(lambda: 1 / 0)
def test_g_is_of_the_standard_library(): assert multiprocessing.__name__.startswith("multi")
"""
ENDS = ["passed", "failed", "hung", "died", "skipped", "failed"]


@pytest.fixture
def sample(tmp_path):
    """A client whose tests are `SAMPLE`, and the folder of its runs."""
    for mode in ("std", "import"):
        (tmp_path / mode).mkdir()
        (tmp_path / mode / "of_sample.py").write_text(SAMPLE)
    places.change(tmp_path / "std" / "of_sample.py", tmp_path / "import")
    return clients.Client("sample", "1", ("of_sample.py",), limit_s=5), tmp_path


@pytest.mark.parametrize(("mode", "whose"), [("std", "passed"), ("run", "failed"), ("import", "failed")])
def test_every_kind_of_end_is_an_outcome_in_each_mode(sample, mode, whose):
    client, folder = sample
    outcomes = runs.run(client, sys.executable, folder, mode)
    assert [outcomes.by_test[test][0] for test in sorted(outcomes.by_test)] == [*ENDS, whose]
    assert outcomes.faults == []


def test_what_a_run_leaves_behind_is_ended_and_told(sample):
    client, folder = sample
    program = (
        "import subprocess, sys\ndef test(): subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    (folder / "std" / "of_sample.py").write_text(program)
    outcomes = runs.run(client, sys.executable, folder, "std")
    assert outcomes.faults == ["1 processes were left behind"]


def outcomes_of(**ends):
    outcomes = Outcomes()
    outcomes.by_test = {test: (end, "") for test, end in ends.items()}
    return outcomes


def test_only_what_is_worse_than_with_the_standard_library_differs():
    standard = outcomes_of(a="passed", b="failed", c="passed", d="passed", e="skipped", f="hung")
    ours = outcomes_of(a="passed", b="passed", c="failed", e="passed", f="failed", g="passed")
    assert command.differing(standard, ours) == ["c", "d", "e", "g"]


def test_every_explained_difference_is_of_a_client_and_has_a_reason():
    for pattern, reason in command.read_expected():
        client, mode, test = pattern.split("/", 2)
        assert client in [known.name for known in clients.CLIENTS] and mode in ("*", "run", "import") and test
        assert len(reason.split()) > 5, pattern


def test_all_that_is_fetched_is_pinned_and_what_is_ours_is_there():
    for client in clients.CLIENTS:
        assert all("==" in need for need in client.needs), client
        if client.source == "own":
            assert all((places.PROGRAMS / test).is_file() for test in client.tests), client


def test_a_client_that_cannot_be_had_is_said_to_be_one(monkeypatch, capsys):
    nowhere = clients.Client("sample", "1", ("of_sample.py",), python="/nowhere/python")
    monkeypatch.setattr(command, "CLIENTS", (nowhere,))
    assert command.main([]) == 0
    assert "there is no /nowhere/python" in capsys.readouterr().out


def test_an_unknown_client_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["nobody"])
    assert "no such client: nobody" in capsys.readouterr().err


def test_what_fails_at_times_with_the_standard_library_too_is_no_difference(sample, monkeypatch, capsys):
    def ran(client, python, folder, mode, only=()):
        ends = {"a": "passed", "b": "passed"} if mode == "std" else {"a": "failed", "b": "failed"}
        if mode == "std" and "a" in only:
            ends["a"] = "failed"
        return outcomes_of(**{test: end for test, end in ends.items() if not only or test in only})

    monkeypatch.setattr(command, "prepare", lambda client, folder: sys.executable)
    monkeypatch.setattr(command, "run", ran)
    options = argparse.Namespace(only=[], modes=["run"], detail=100)
    rows, bad = command.compare(*sample, [], options)
    assert bad == ["sample/run/b"] and rows[-1].endswith("1 worse, 0 better")
    assert "a: fails at times with the standard library, too" in capsys.readouterr().out
