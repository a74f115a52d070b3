"""The launcher of tests on other versions of Python says what it has and what it has not."""

import sys

import pytest

from tests import pythons


def test_a_version_that_is_nowhere_is_said_to_be_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pythons, "HOME", tmp_path / "home")
    monkeypatch.setattr(pythons, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(pythons, "build", lambda: tmp_path / "wheel")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["pythons", *pythons.VERSIONS])
    pythons.debian.cache_clear()
    pythons.main()
    said = capsys.readouterr().out
    assert [line.split()[1] for line in said.splitlines() if " is missing: " in line] == [*pythons.VERSIONS]
    assert "debootstrap" in said


def test_an_interpreter_is_found_by_its_version(monkeypatch, tmp_path):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / f"python{version}").symlink_to(sys.executable)
    (tmp_path / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythons.find(version).base == str(tmp_path / f"python{version}")
    with pytest.raises(pythons.Missing):
        pythons.find("3.99")


@pytest.mark.parametrize(
    ("program", "line", "well"),
    [
        ("print('...'); print('== 3 passed in 1 s ==')", "3 passed in 1 s", True),
        ("print('1 failed, 2 passed'); raise SystemExit(1)", "1 failed, 2 passed", False),
        ("raise SystemExit(4)", "no count, see", False),
    ],
)
def test_what_a_run_counts_is_its_last_line_with_counts(monkeypatch, tmp_path, program, line, well):
    monkeypatch.setattr(pythons, "HOME", tmp_path)
    (tmp_path / "3.0/bin").mkdir(parents=True)
    (tmp_path / "3.0/bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}"\n')
    (tmp_path / "3.0/bin/python").chmod(0o755)
    said, ended_well = pythons.count(pythons.Python("3.0", sys.executable), "tests", [])
    assert said.startswith(line) and ended_well is well
