"""Runs of pytest that share files: each test runs once."""

import os
import subprocess
import sys

import together

FILE = """
import pytest

@pytest.fixture(scope="module", autouse=True)
def whole():
    yield
    print("{name} is over")

@pytest.mark.parametrize("number", range(3))
def test_it(number):
    assert number < {failing}
"""


def pytest_run(taken, *files):
    """Run pytest without the plugins that are installed, which take longer to load than all of these tests."""
    command = [sys.executable, "-m", "pytest", "-sq", "-p", "tests.shares", "--taken", taken, "-c", os.devnull, *files]
    env = {**os.environ, "PYTHONPATH": ".", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=110, env=env)


def test_files_that_another_run_has_taken_are_left_out(tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    files = tmp_path / "files"
    files.mkdir()
    for name, failing in [("a", 3), ("b", 2), ("c", 3), ("d", 3)]:
        (files / f"test_{name}.py").write_text(FILE.format(name=name, failing=failing))
        if name in "ac":
            (taken / f"{files.name}-test_{name}.py").touch()
    run = pytest_run(taken, files)
    assert run.returncode == 1 and "1 failed, 5 passed" in run.stdout, run
    assert [line for line in run.stdout.splitlines() if line.endswith("over")] and "b is over" in run.stdout, run
    assert "d is over" in run.stdout and "a is over" not in run.stdout
    assert len(list(taken.glob("files-*"))) == 4
    failed = taken / "failed"
    assert failed.read_text() == f"{files}/test_b.py::test_it[2]\n"
    (files / "test_b.py").write_text(FILE.format(name="b", failing=3))
    again = pytest_run(tmp_path, f"@{failed}")
    assert again.returncode == 0 and "1 passed" in again.stdout, again


def test_a_folder_is_over_although_another_run_has_the_rest_of_it(tmp_path):
    taken = tmp_path / "taken"
    folder = tmp_path / "files" / "inner"
    taken.mkdir()
    folder.mkdir(parents=True)
    for place, name in [(folder, "a"), (folder, "b"), (folder.parent, "c")]:
        (place / f"test_{name}.py").write_text(FILE.format(name=name, failing=3))
    (taken / f"{folder.name}-test_b.py").touch()
    run = pytest_run(taken, folder, folder.parent / "test_c.py")
    assert run.returncode == 0 and "6 passed" in run.stdout, run
    assert run.stdout.index("a is over") < run.stdout.index("c is over")


def test_one_that_failed_beside_all_others_is_tried_alone_and_several_are_not(tmp_path, capfd):
    failed = tmp_path / "failed"
    assert not together.passes_alone(failed)  # the run failed, and no test of it
    first = tmp_path / "test_first.py"
    first.write_text(FILE.format(name="first", failing=2))
    failed.write_text(f"{first}::test_it[1]\n")
    assert together.passes_alone(failed)
    assert f"test: UNSTEADY, failed above and passed alone: {first}::test_it[1]\n" in capfd.readouterr().out
    failed.write_text(f"{first}::test_it[0]\n{first}::test_it[2]\n")
    assert not together.passes_alone(failed)  # as one fails alone, too
    failed.write_text("".join(f"{first}::test_it[{number}]\n" for number in (0, 1, 1)))
    assert not together.passes_alone(failed)
    assert "UNSTEADY" not in capfd.readouterr().out
