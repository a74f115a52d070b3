"""A quick part of the interpreter's own tests, against procession, and the launcher that runs them."""

import pathlib

import pytest

from tests.cpython import __main__ as command, campaign, suite

OURS = """
import os, time, unittest

class Some(unittest.TestCase):
    def test_a_passes(self): pass
    def test_b_fails(self): self.assertEqual(1, 2)
    def test_c_hangs(self): time.sleep(600)
    def test_d_ends_the_process(self): os._exit(3)
    def test_e_is_skipped(self): self.skipTest("no reason")
    def test_f_fails_in_a_part(self):
        with self.subTest(part=1): self.fail()
"""


@pytest.mark.timeout(400)
def test_the_quick_part_is_as_expected(capsys):
    status = command.main(["--quick"])
    out, err = capsys.readouterr()
    if status == 2:
        pytest.skip(err)
    print(out)
    assert status == 0, out


def test_every_kind_of_end_is_an_outcome(tmp_path):
    import sys

    (tmp_path / "sample.py").write_text(OURS)
    (tmp_path / "runner.py").write_text(suite.RUNNER.read_text())
    names = [
        line.partition("def ")[2].partition("(")[0] for line in OURS.splitlines() if line.lstrip().startswith("def ")
    ]
    ids = [f"ours/Some.{name}" for name in names]
    outcomes = campaign.run_class(str(tmp_path), sys.executable, ("ours", "sample", "Some"), ids, limit_s=5)
    found = [outcomes.by_test[test][0] for test in ids]
    assert found == ["passed", "failed", "hung", "failed", "skipped", "failed"]
    assert outcomes.faults == []


def test_an_unexpected_pass_is_told_like_an_unexpected_failure():
    expected = [("fork/Some.test_x", False, "why"), ("*/Some.test_y", True, "why")]
    assert command.judge("fork/Some.test_x", "failed", expected) is None
    assert "passes" in command.judge("fork/Some.test_x", "passed", expected)
    assert command.judge("spawn/Some.test_x", "hung", expected) == "hung"
    assert command.judge("spawn/Some.test_y", "passed", expected) is None
    assert command.judge("spawn/Some.test_y", "failed", expected) is None


def test_every_expected_failure_has_a_reason():
    for pattern, _, reason in command.read_expected():
        assert "/" in pattern and len(reason.split()) > 5, pattern


def test_an_interpreter_without_tests_is_said_to_be_one(monkeypatch, capsys):
    monkeypatch.setattr(suite, "test_folders", lambda python: [pathlib.Path("/nowhere")])
    assert command.main([]) == 2
    assert "came without its tests" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("import multiprocessing", "import procession as multiprocessing"),
        ("import multiprocessing as mp", "import procession as mp"),
        ("import multiprocessing, os", "import procession as multiprocessing, os"),
        ("import multiprocessing.pool", "import procession.pool; import procession as multiprocessing"),
        ("from multiprocessing import util", "from procession import util"),
        ("from multiprocessing.connection import wait", "from procession.connection import wait"),
        ("patch('multiprocessing.util.x')", "patch('procession.util.x')"),
        ("multiprocessing.Process()", "multiprocessing.Process()"),
        ("import _multiprocessing", "import _multiprocessing"),
        ("'unclosed running multiprocessing pool'", "'unclosed running multiprocessing pool'"),
    ],
)
def test_files_are_changed_to_take_ours(tmp_path, text, changed):
    (tmp_path / "some.py").write_text(text)
    (tmp_path / "into").mkdir()
    suite.change(tmp_path / "some.py", tmp_path / "into")
    assert (tmp_path / "into" / "some.py").read_text() == changed
