"""Makes a release out of the checkout: scripts/release X.Y.Z [--unchecked]

It refuses a checkout with changes, a version that is not above the last one, and a changelog without anything new. Then
it writes the version where it stands, gives the changelog's unreleased part its number and today's date, builds and
looks at what is published (`scripts/dist`), commits and tags. It sends nothing away: the last line says what does.
"""

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Where the version stands, and how: the workspace's own, the binding's of the engine, the recipe's, that which the fuzz
# targets have locked.
PLACES = (
    ("Cargo.toml", re.compile(r'^(version = ")([^"]+)(")', re.MULTILINE)),
    ("Cargo.toml", re.compile(r'^(procession = \{ path = "crates/procession", version = ")([^"]+)(")', re.MULTILINE)),
    ("recipe/recipe.yaml", re.compile(r'^(  version: ")([^"]+)(")', re.MULTILINE)),
    ("fuzz/Cargo.lock", re.compile(r'^(name = "procession"\nversion = ")([^"]+)(")', re.MULTILINE)),
)
UNRELEASED = "## Unreleased"


class Refused(Exception):
    """The release cannot be made; the text says why and what to do."""


def git(*arguments, root=ROOT):
    """Return what a command of git prints."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def number(version):
    """Return a version as a tuple of three numbers.

    Raises:
        Refused: it is not of the form X.Y.Z.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        raise Refused(f"{version!r} is no version: give it as X.Y.Z, as in 0.2.0")
    return tuple(map(int, found.groups()))


def changes(text, heading):
    """Return the part of a changelog below a heading, without the heading.

    Args:
        text: the changelog.
        heading: as "## Unreleased", or the beginning of one, as "## 0.2.0 ".

    Raises:
        Refused: there is none, or nothing stands there.
    """
    found = re.search(rf"^{re.escape(heading)}.*?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if not found or not found[1].strip():
        raise Refused(f'CHANGELOG.md has nothing under "{heading.strip()}"')
    return found[1].strip()


def check(version, root):
    """Raise `Refused` unless the checkout can become this version."""
    if left := git("status", "--porcelain", root=root):
        raise Refused(f"the checkout has changes: commit or stash them first\n{left}")
    if f"v{version}" in git("tag", root=root).split():
        raise Refused(f"there is a tag v{version}")
    for place, pattern in PLACES:
        found = pattern.findall((root / place).read_text())
        if len(found) != 1:
            raise Refused(f"{place} should have one version that {pattern.pattern} finds, and has {len(found)}")
        if number(found[0][1]) >= number(version):
            raise Refused(f"{place} has version {found[0][1]}, which is not below {version}")
    changes((root / "CHANGELOG.md").read_text(), UNRELEASED)


def write(version, day, root):
    """Write the version into each of its places, and the changelog's unreleased part under it."""
    for place, pattern in PLACES:
        path = root / place
        path.write_text(pattern.sub(rf"\g<1>{version}\g<3>", path.read_text()))
    log = root / "CHANGELOG.md"
    log.write_text(log.read_text().replace(UNRELEASED, f"{UNRELEASED}\n\n## {version} ({day})", 1))
    subprocess.run(["cargo", "update", "-q", "--workspace", "--offline"], cwd=root, check=True)


def release(version, root, checked):
    """Make the release; see the head of this module."""
    check(version, root)
    write(version, datetime.date.today(), root)
    if checked and subprocess.run([root / "scripts/dist"]).returncode:
        raise Refused("scripts/dist failed, see above: `git checkout .` takes the changes back")
    git("commit", "-qam", f"Release {version}", root=root)
    git("tag", "-a", f"v{version}", "-m", f"procession {version}", root=root)
    print(f"release: committed and tagged v{version}; `git push origin main v{version}` publishes it")


def main():
    """Run as a script; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/release", description=__doc__.split("\n")[0])
    parser.add_argument("version", help="as X.Y.Z")
    parser.add_argument(
        "--changes", action="store_true", help="only print what the changelog has about a released version"
    )
    parser.add_argument("--unchecked", action="store_true", help="do not build what is published")
    options = parser.parse_args()
    try:
        if options.changes:
            print(changes((ROOT / "CHANGELOG.md").read_text(), f"## {options.version} "))
        else:
            release(options.version, ROOT, not options.unchecked)
    except Refused as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
