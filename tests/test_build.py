"""The package that was built is the one the workspace describes."""

import tomllib
from pathlib import Path

import procession

ROOT = Path(__file__).parent.parent


def test_the_package_has_the_version_of_the_workspace():
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert procession.__version__ == workspace["workspace"]["package"]["version"]


def test_every_script_is_plain_sh_and_short():
    for script in (ROOT / "scripts").iterdir():
        lines = script.read_text().splitlines()
        assert lines[0] == "#!/bin/sh", script
        assert len(lines) < 30, script
        assert script.stat().st_mode & 0o111, f"{script} is not executable"


def test_the_changelog_says_each_thing_once():
    entries = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("* ")]
    assert entries and len(entries) == len(set(entries)), [line for line in entries if entries.count(line) > 1]
