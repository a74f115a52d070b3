"""Runs the tests in other surroundings, one after the other, and ends with status 1 when they failed in one of them.

python -m tests.surroundings --only "a loaded machine" tests/test_pool.py
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NOBODY = 65534
USABLE = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def bare(*command, cwd=ROOT, **options):
    """Run a command with the environment of a fresh login; return whether it ended well."""
    return subprocess.run([ROOT / "scripts/bare", *command], cwd=cwd, **options).returncode == 0


def with_variables(*variables):
    """Return what runs the tests with variables besides those of a login."""
    return lambda arguments: bare(*variables, sys.executable, *PYTEST, *arguments)


def in_another_temporary_directory(arguments):
    """Run the tests with a temporary directory that has spaces in its name."""
    with tempfile.TemporaryDirectory(prefix="a temporary directory ") as folder:
        return bare(f"TMPDIR={folder}", sys.executable, *PYTEST, *arguments)


def on_a_loaded_machine(arguments):
    """Run the tests beside two busy processes for each processor."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    try:
        return bare(sys.executable, *PYTEST, *arguments)
    finally:
        for process in busy:
            process.kill()
            process.wait()


def as_another_user(arguments):
    """Run the tests as a user who may not read the home of whoever built the package, nor write into the checkout."""
    if os.geteuid() != 0:
        print("surroundings: only root can become another user: skipped")
        return True
    with tempfile.TemporaryDirectory(prefix="surroundings-") as folder:
        checkout, home = Path(folder, "checkout"), Path(folder, "home")
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        built = [path.relative_to(ROOT) for path in ROOT.glob("python/procession/_procession*.so")]
        for name in [*filter(None, files.split("\0")), *built]:
            Path(checkout, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
        home.mkdir()
        os.chown(home, NOBODY, NOBODY)
        os.chmod(folder, 0o755)
        python = checkout / ".venv/bin/python"
        subprocess.run([_python_of_all(), "-m", "venv", checkout / ".venv"], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "cloudpickle"]
            + ["-r", ROOT / ".venv/installed"],
            check=True,
        )
        variables = (f"HOME={home}", "USER=nobody", "LOGNAME=nobody", f"PYTHONPATH={checkout / 'python'}")
        return bare(*variables, python, *PYTEST, *arguments, cwd=checkout, **_AS_NOBODY)


_AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def _python_of_all():
    """Return an interpreter that another user may run and make environments with."""
    for python in (shutil.which("python3"), *(f"/usr/bin/python3.{minor}" for minor in range(20, 10, -1))):
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-c", USABLE], stderr=subprocess.DEVNULL, **_AS_NOBODY).returncode == 0:
                return python
    sys.exit("surroundings: no Python 3.11 or newer with venv that another user may run: install Debian's python3-venv")


SURROUNDINGS = {
    "a fresh login": with_variables(),
    "output of Python unbuffered": with_variables("PYTHONUNBUFFERED=1"),
    "no compiled modules written": with_variables("PYTHONDONTWRITEBYTECODE=1"),
    "the plain locale": with_variables("LANG=C", "LC_ALL=C"),
    "the plain locale without UTF-8": with_variables("LANG=C", "LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"),
    "another temporary directory": in_another_temporary_directory,
    "another user": as_another_user,
    "a loaded machine": on_a_loaded_machine,
}


def main():
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/surroundings", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SURROUNDINGS, action="append", help="not all of them; may be repeated")
    options, arguments = parser.parse_known_args()
    failed = []
    for name in options.only or SURROUNDINGS:
        print(f"== {name}", flush=True)
        if not SURROUNDINGS[name](arguments):
            failed.append(name)
    if failed:
        sys.exit(f"surroundings: tests failed in: {', '.join(failed)}")
    print("surroundings: passed")


if __name__ == "__main__":
    main()
