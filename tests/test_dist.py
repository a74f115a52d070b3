"""What looks at a release finds what is wrong with one."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.distributions import bill, library, release

ROOT = Path(__file__).parent.parent
LISTING = """\
                 w __gmon_start__
                 U PyLong_FromLong
                 U write@GLIBC_2.2.5
                 w statx@GLIBC_2.28
"""


def test_names_that_the_promised_library_has_are_fine():
    assert library.too_new(LISTING, (2, 17)) == []


@pytest.mark.parametrize(
    "line, told", [("U preadv2", "preadv2 (no version)"), ("U stat@GLIBC_2.33", "stat (GLIBC_2.33)")]
)
def test_a_name_that_the_promised_library_lacks_is_found_with_and_without_a_version(line, told):
    assert library.too_new(f"{LISTING}                 {line}\n", (2, 17)) == [told]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with what a release changes."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:  # as in a hook, of another repository
        monkeypatch.delenv(name)
    for name in ("Cargo.toml", "Cargo.lock", "CHANGELOG.md", "recipe/recipe.yaml", "fuzz/Cargo.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for crate in ("procession", "procession-python"):
        (tmp_path / "crates" / crate / "src").mkdir(parents=True)
        shutil.copy(ROOT / "crates" / crate / "Cargo.toml", tmp_path / "crates" / crate)
        (tmp_path / "crates" / crate / "src/lib.rs").touch()
    (tmp_path / "crates/procession/tests/it").mkdir(parents=True)
    (tmp_path / "crates/procession/tests/it/main.rs").touch()
    log = tmp_path / "CHANGELOG.md"
    log.write_text("# Changelog\n\n## Unreleased\n\n### Added\n\n* A thing.\n\n## 0.0.1 (2026-01-01)\n\n* The first.\n")
    release.git("init", "-q", root=tmp_path)
    for name, value in (
        ("user.name", "A Person"),
        ("user.email", "person@example.org"),
        ("commit.gpgsign", "false"),
        ("tag.gpgsign", "false"),
    ):
        release.git("config", name, value, root=tmp_path)
    commit(tmp_path)
    return tmp_path


def commit(checkout):
    release.git("add", "-A", root=checkout)
    release.git("commit", "-q", "-m", "Change", root=checkout)


def test_a_release_is_committed_and_tagged_with_its_version_everywhere(checkout):
    release.release("90.1.2", checkout, checked=False)
    for place, pattern in release.PLACES:
        assert [found[1] for found in pattern.findall((checkout / place).read_text())] == ["90.1.2"]
    assert 'name = "procession"\nversion = "90.1.2"' in (checkout / "Cargo.lock").read_text()
    log = (checkout / "CHANGELOG.md").read_text()
    assert release.changes(log, "## 90.1.2 ") == "### Added\n\n* A thing."
    assert release.git("tag", root=checkout) == "v90.1.2"
    assert release.git("status", "--porcelain", root=checkout) == ""
    with pytest.raises(release.Refused, match="nothing under"):
        release.release("90.1.3", checkout, checked=False)


@pytest.mark.parametrize(
    "version, told", [("1.2", "is no version"), ("0.0.1", "not below"), ("v1.2.3", "is no version")]
)
def test_a_version_that_cannot_follow_is_refused(checkout, version, told):
    with pytest.raises(release.Refused, match=told):
        release.release(version, checkout, checked=False)


def test_a_checkout_with_changes_is_refused(checkout):
    (checkout / "new").touch()
    with pytest.raises(release.Refused, match="has changes"):
        release.release("90.1.2", checkout, checked=False)


def test_every_action_of_the_workflows_is_pinned_to_a_commit():
    texts = [path.read_text() for path in (ROOT / ".github/workflows").iterdir()]
    used = [line for text in texts for line in re.findall(r"uses: (.*)", text)]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v[\d.]+", action), action


def test_the_workflow_runs_what_a_checkout_has():
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    for command in re.findall(r"run: (\S+/\S+)", text):
        assert (ROOT / command).stat().st_mode & 0o111, command


def test_the_crate_carries_its_licences():
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        assert (ROOT / "crates/procession" / name).read_text() == (ROOT / name).read_text()


def test_the_source_distribution_is_told_of_every_folder():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    folders = {name.split("/")[0] for name in tracked if "/" in name} - {"findings", "fuzz"}
    text = (ROOT / "pyproject.toml").read_text()
    for folder in folders - {"crates", "python"}:
        assert f'path = "{folder}/' in text, f"{folder} is not in the source distribution"


def test_a_bill_of_materials_is_cut_down_to_what_is_in_the_library():
    ours, theirs = ({"name": name, "version": "1.0.0", "bom-ref": name} for name in ("ours", "theirs"))
    edges = [{"ref": "ours", "dependsOn": ["theirs"]}, {"ref": "theirs"}]
    left = bill.cut({"components": [ours, theirs], "dependencies": edges, "serialNumber": "1"}, {"ours 1.0.0"})
    assert left == {"components": [ours], "dependencies": [{"ref": "ours", "dependsOn": []}], "serialNumber": "1"}
    assert bill.named(left) == {"ours 1.0.0"}
    assert any(part.startswith("rustix ") for part in bill.parts("x86_64-unknown-linux-gnu"))
