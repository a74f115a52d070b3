"""Builds the wheel, the source distribution and the crate as they are published, and looks at each: scripts/dist

python -m tests.distributions [--keep FOLDER] [INTERPRETER ...]

Wheels are linked against an old C library by zig, so that they serve every machine that their tags name: one of the
stable interface, and one for each interpreter that is given, such as python3.14t. Each step is told; the first that
fails ends the run with status 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from . import bill, library

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / ".venv/dist"
TARGET = "x86_64-unknown-linux-gnu"
TAG = "manylinux_2_17"
GLIBC = (2, 17)
# What a developer needs of the repository, and nobody who packages it.
NOT_PACKED = (".gitignore", "findings/", "fuzz/")
PROGRAMS = ("hello_process.py", "pool_map.py", "four_processes.py")


class Wrong(Exception):
    """What was built is not what may be published; the text says why."""


def say(text):
    """Tell of a step."""
    print(f"dist: {text}", flush=True)


def run(*command, **options):
    """Run a command of the tools' folder or of PATH; its output is shown only when it fails.

    Returns:
        str: what it printed.

    Raises:
        Wrong: it ended with another status than 0.
    """
    path = f"{TOOLS / 'bin'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **options.pop("env", {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, **options)
    if done.returncode:
        raise Wrong(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def tracked(*places):
    """Return the names of the files that git knows below `places`, from the checkout's root."""
    return set(run("git", "ls-files", *places, cwd=ROOT).split())


def the_one(folder, pattern):
    """Return the one file of a folder that has the pattern's name."""
    [found] = folder.glob(pattern)
    return found


def build_wheel(folder, interpreter, tags):
    """Build the wheel that an interpreter takes; return its path."""
    command = ["maturin", "build", "--release", "--compatibility", TAG, "--zig", "--target", TARGET, "--out", folder]
    run(*command, "--interpreter", interpreter, cwd=ROOT)
    wheel = the_one(folder, f"*-{tags}-*.whl")
    run(TOOLS / "bin/python", "-m", "tests.distributions.bill", wheel, cwd=ROOT)
    return wheel


def check_library(wheel, work):
    """Look for names that the tag does not promise, what is not of the stable interface, and hooks of tests."""
    with zipfile.ZipFile(wheel) as files:
        [name] = [name for name in files.namelist() if name.endswith(".so")]
        found = library.too_new(library.listing(files.extract(name, work)), GLIBC)
        if b"try_decoders" in files.read(name):
            raise Wrong(f"{name} has what only tests call (the feature `trial`)")
    if found:
        raise Wrong(f"{name} needs what {TAG} does not promise: {', '.join(found)}")
    if "-abi3-" in wheel.name:  # it knows no other
        run("abi3audit", "--strict", wheel)
    shown = run("auditwheel", "show", wheel)
    # Its words come in lines of a width, and the name of the file has the tag, too.
    if f'platform tag: "{TAG}_x86_64"' not in " ".join(shown.split()):
        raise Wrong(f"auditwheel would give another tag than {TAG}:\n{shown}")


def check_contents(wheel):
    """Look whether the wheel holds the package as git has it, and nothing else."""
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
    packed = {name for name in names if ".dist-info/" not in name and not name.endswith(".so")}
    wanted = {name.removeprefix("python/") for name in tracked("python/procession")}
    if packed != wanted:
        raise Wrong(f"the wheel lacks {sorted(wanted - packed)} and should not have {sorted(packed - wanted)}")
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        if not any(name.endswith(f"/licenses/{licence}") for name in names):
            raise Wrong(f"the wheel lacks {licence}")
    # W004: PyInstaller asks for a hyphen in the name of a hook.
    run("check-wheel-contents", "--ignore", "W004", wheel)


def check_bill(wheel):
    """Look whether the bill of materials names just the crates that are in the library, or made its code."""
    with zipfile.ZipFile(wheel) as files:
        [name] = [name for name in files.namelist() if name.endswith(".cyclonedx.json")]
        text = files.read(name)
    named, built = bill.named(json.loads(text)), bill.parts(TARGET)
    if named != built:
        raise Wrong(f"the bill of materials lacks {sorted(built - named)} and should not have {sorted(named - built)}")


def check_source(source, work, python):
    """Look whether the source distribution holds what is needed to build and to test, and its tests are found."""
    with tarfile.open(source) as files:
        files.extractall(work, filter="data")
    [root] = [path for path in work.iterdir() if path.is_dir() and path.name.startswith("procession-")]
    packed = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    missing = sorted(name for name in tracked() - packed if not name.startswith(NOT_PACKED))
    if missing:
        raise Wrong(f"the source distribution lacks {missing}")
    told = run(python, "-m", "pytest", "-q", "--collect-only", "tests/test_pool.py", "tests/test_queues.py", cwd=root)
    say(f"from the unpacked source distribution: {told.strip().splitlines()[-1]}")


def try_wheel(wheel, place, interpreter, *further):
    """Install the wheel in a new environment, run the first programs by each start method; return its interpreter."""
    python = place / "bin/python"
    run(interpreter, "-m", "venv", "--without-pip", place)
    run(TOOLS / "bin/python", "-m", "pip", "--python", python, "install", "-q", wheel, *further)
    run(TOOLS / "bin/python", "-m", "pip", "--python", python, "check")
    say(run(place / "bin/procession", "--version").strip())
    for name in PROGRAMS:
        text = (ROOT / "examples" / name).read_text()
        for method in ("fork", "spawn", "forkserver"):
            start = f"    multiprocessing.set_start_method({method!r})\n"
            program = place / name
            program.write_text(text.replace('if __name__ == "__main__":\n', f'if __name__ == "__main__":\n{start}', 1))
            run(python, program, cwd=place, timeout=120)
    return python


def check_crate(work):
    """Build the crate from its package, in a folder of its own, and look whether cargo has anything to say of it."""
    told = run("cargo", "package", "-p", "procession", "--allow-dirty", "--target-dir", work, cwd=ROOT)
    if "warning" in told:
        raise Wrong(f"cargo package warns:\n{told}")
    names = run("cargo", "package", "-p", "procession", "--allow-dirty", "--list", cwd=ROOT).split()
    for name in ("README.md", "LICENSE-MIT", "LICENSE-APACHE"):
        if name not in names:
            raise Wrong(f"the crate lacks {name}")


def tags_of(interpreter):
    """Return the tags of the wheel that an interpreter takes: those of the stable interface where it has one."""
    told = "import sys, sysconfig; print(*sys.version_info[:2], int(sysconfig.get_config_var('Py_GIL_DISABLED') or 0))"
    major, minor, is_free = map(int, run(interpreter, "-c", told).split())
    if not is_free:
        return "cp311-abi3"
    return "cp315-abi3.abi3t" if (major, minor) >= (3, 15) else f"cp{major}{minor}-cp{major}{minor}t"


def checked_wheel(folder, work, interpreter):
    """Build the wheel that an interpreter takes, and look at it; return its path."""
    tags = tags_of(interpreter)
    say(f"the wheel {tags}, for {TAG}")
    wheel = build_wheel(folder, interpreter, tags)
    check_library(wheel, work / tags)
    check_contents(wheel)
    check_bill(wheel)
    return wheel


def build_and_check(folder, work, interpreters):
    """Build everything into `folder` and look at it."""
    wheel = checked_wheel(folder, work, sys.executable)
    others = [(checked_wheel(folder, work, other), other) for other in interpreters]
    say("the source distribution")
    run("maturin", "sdist", "--out", folder, cwd=ROOT)
    source = the_one(folder, "*.tar.gz")
    run("twine", "check", "--strict", wheel, source, *(other for other, _ in others))
    say("the first programs, with each wheel in a new environment")
    for number, (other, interpreter) in enumerate(others):
        try_wheel(other, work / f"environment{number}", interpreter)
    needs = ("pytest", "pytest-timeout", "hypothesis", "psutil", "numpy")
    python = try_wheel(wheel, work / "environment", sys.executable, *needs)
    check_source(source, work, python)
    say("the crate")
    check_crate(ROOT / "target/package-dist")
    for path in (wheel, *(other for other, _ in others), source):
        say(f"{path.name}: {path.stat().st_size >> 10} KiB")


def main():
    """Run as a script; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/dist", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--keep", metavar="FOLDER", type=Path, default=ROOT / "dist", help="where what is built goes (default: dist)"
    )
    parser.add_argument(
        "interpreters", metavar="INTERPRETER", nargs="*", help="one that takes another wheel, such as python3.14t"
    )
    options = parser.parse_args()
    for old in options.keep.glob("procession-*"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="dist-") as work:
        try:
            build_and_check(options.keep.resolve(), Path(work), options.interpreters)
        except Wrong as error:
            print(f"dist: {error}", file=sys.stderr)
            return 1
    say("all good")
    return 0


if __name__ == "__main__":
    sys.exit(main())
