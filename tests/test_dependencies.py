"""What the Rust side depends on: free licenses, one registry, nothing banned, and a reason for each."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RULES = tomllib.loads((ROOT / "deny.toml").read_text())
ALLOWED = set(RULES["licenses"]["allow"])


@pytest.fixture(scope="module")
def packages():
    cargo = shutil.which("cargo") or shutil.which(Path.home() / ".cargo/bin/cargo")
    if cargo is None:
        pytest.skip("no cargo here, such as beside another interpreter")
    command = [cargo, "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    metadata = json.loads(told.stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    return [package for package in metadata["packages"] if package["id"] in used]


def is_allowed(expression):
    """Whether a license expression (SPDX) leaves a choice that is allowed."""
    expression = expression.replace("/", " OR ").replace("(", " ( ").replace(")", " ) ")
    expression = re.sub(r"(\S+) WITH (\S+)", r"\1_WITH_\2", expression)
    words = [
        word.lower() if word in ("AND", "OR") else word if word in "()" else str(word.replace("_", " ") in ALLOWED)
        for word in expression.split()
    ]
    assert set(words) <= {"and", "or", "(", ")", "True", "False"}
    return eval(" ".join(words), {})  # only the words above


def test_a_license_expression_is_understood():
    assert is_allowed("MIT") and is_allowed("GPL-3.0 OR MIT") and is_allowed("Unlicense/MIT")
    assert is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0")
    assert is_allowed("Apache-2.0 WITH LLVM-exception")
    assert not is_allowed("GPL-3.0") and not is_allowed("MIT AND GPL-3.0")


def test_every_crate_has_a_license_that_is_allowed(packages):
    assert len(packages) > 10
    refused = {p["name"]: p["license"] for p in packages if not is_allowed(p["license"] or "none")}
    assert not refused


def test_every_crate_is_ours_or_from_the_registry(packages):
    sources = {p["source"] for p in packages} - {None}
    assert len(sources) == 1 and sources.pop().startswith("registry+")
    assert {p["name"] for p in packages if p["source"] is None} == {"procession", "procession-python"}


def test_no_banned_crate_is_used(packages):
    banned = {rule["name"] for rule in RULES["bans"]["deny"]}
    assert banned and not banned & {p["name"] for p in packages}


def test_every_dependency_of_ours_has_its_reason(packages):
    reasons = (ROOT / "CONTRIBUTING.md").read_text()
    ours = {d["name"] for p in packages if p["source"] is None for d in p["dependencies"]} - {"procession"}
    assert not {name for name in ours if f"`{name}`" not in reasons}
