"""Runs the tests and the interpreter's own on several versions of Python, with the wheel as users get it.

python -m tests.pythons 3.13 3.15 --only cpython

A version is taken from PATH or from pyenv. What neither has comes from Debian's unstable distribution, in a folder of
its own (`target/pythons/debian`), for which root and `debootstrap` are needed. A version that is not to be had is said
to be missing. Versions that end with a t have no interpreter lock; Debian has none of those.
"""

import argparse
import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = ROOT / "target/pythons"
DEBIAN = HOME / "debian"
VERSIONS = ("3.12", "3.13", "3.14", "3.15", "3.14t", "3.15t")
OF_DEBIAN = ("3.13", "3.14", "3.15")
# What a program in the folder sees of this machine: the checkout, the kernel's files, and what connections need.
SHARED = ("/dev", "/proc", "/sys", "/etc/ssl/certs", "/etc/resolv.conf", "/etc/hosts")
PROBE = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2] + sys.abiflags)"


class Missing(Exception):
    """A version is not to be had here; the text says why."""


class Python:
    """An interpreter, with an environment in which the wheel and the tools of the tests are.

    Args:
        version: as "3.14", or "3.14t" for one without an interpreter lock.
        base: its program.
        around: what a command begins with, to run where the program is.
    """

    def __init__(self, version, base, around=()):
        self.version = version
        self.base = base
        self.around = around
        self.folder = HOME / version

    @property
    def program(self):
        """The program of its environment."""
        return self.folder / "bin/python"

    def run(self, *command, **options):
        """Run a command where the interpreter is, with the environment of a fresh login."""
        return subprocess.run([ROOT / "scripts/bare", *self.around, *command], cwd=ROOT, **options)

    def prepare(self, wheel):
        """Make the environment, unless it is there, and install the wheel, which may be a new one."""
        if not (self.folder / "made").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.run(self.base, "-m", "venv", self.folder, check=True)
            self._install_tools()
            (self.folder / "made").touch()
        self.run(*self._pip(), "--force-reinstall", "--no-deps", wheel, check=True)

    def _install_tools(self):
        """Install what the tests use, one by one: what does not build for this version is said, and its tests skip."""
        described = tomllib.loads((ROOT / "pyproject.toml").read_text())
        for tool in [*described["project"]["dependencies"], *described["dependency-groups"]["tools"]]:
            if not tool.startswith(("maturin", "ruff")) and self.run(*self._pip(), tool).returncode:
                print(f"pythons: {self.version}: {tool} cannot be installed", flush=True)

    def _pip(self):
        return (self.program, "-m", "pip", "install", "-qq", "--disable-pip-version-check")


@functools.cache
def debian():
    """Return what a command begins with to run in Debian's unstable distribution, which is fetched first if need be.

    Raises:
        Missing: it cannot be had.
    """
    packages = ["ca-certificates", "gcc", "git", "libc6-dev"]
    for version in OF_DEBIAN:
        packages += [f"python{version}-dev", f"python{version}-venv", f"libpython{version}-testsuite"]
    made = DEBIAN / "made"
    if not made.exists() or made.read_text() != ",".join(packages):
        if os.geteuid() or not shutil.which("debootstrap"):
            raise Missing("neither PATH nor pyenv has it, and only root with debootstrap can fetch Debian's")
        print("pythons: fetching Debian's unstable distribution", flush=True)
        HOME.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(DEBIAN, ignore_errors=True)
        log = HOME / "debian.log"
        with log.open("wb") as file:
            command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", "sid", DEBIAN]
            if subprocess.run(command, stdout=file, stderr=file).returncode:
                raise Missing(f"Debian's cannot be fetched, see {log}")
        made.write_text(",".join(packages))
    mounts = [f"mount --rbind '{path}' '{DEBIAN}{path}'" for path in (*SHARED, ROOT) if os.path.exists(path)]
    # Files and folders that mounts need; mounts are of this name space alone, and end with its last process.
    places = [f"[ -d '{path}' ] && mkdir -p '{DEBIAN}{path}' || touch '{DEBIAN}{path}'" for path in (*SHARED, ROOT)]
    inside = f"exec chroot '{DEBIAN}' sh -c 'cd \"$0\" && exec \"$@\"' '{ROOT}' \"$@\""
    return "unshare", "--mount", "sh", "-c", "; ".join([*places, "set -e", *mounts, inside]), "sh"


def find(version):
    """Return the `Python` of a version.

    Raises:
        Missing: there is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    folders = pyenv.glob(f"{version.rstrip('t')}.*/bin/python{version}")
    found = [shutil.which(f"python{version}"), *sorted(folders, reverse=True)]
    for program in filter(None, found):
        with contextlib.suppress(OSError):
            answer = subprocess.run([program, "-c", PROBE], capture_output=True, text=True)
            if answer.stdout.strip() == version:
                return Python(version, program)
    if version not in OF_DEBIAN:
        raise Missing("neither PATH nor pyenv has it")
    return Python(version, f"/usr/bin/python{version}", debian())


@functools.cache
def build(program=sys.executable):
    """Build the wheel, of the stable interface where the interpreter has that; return its path.

    Args:
        program: the interpreter, which has to be there outside of Debian's folder.
    """
    folder = HOME / "wheels" / Path(program).name
    shutil.rmtree(folder, ignore_errors=True)
    how = ["-q", "--release", "--features", "trial"]
    command = [ROOT / ".venv/bin/maturin", "build", *how, "--out", folder, "-i", program]
    subprocess.run(command, cwd=ROOT, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def count(python, what, arguments):
    """Run `what`, "tests" or "cpython"; return its last line, which has the counts, and whether all was well."""
    log = HOME / f"{python.version}-{what}.log"
    command = {"tests": ("-m", "pytest", "-q", "-p", "no:cacheprovider"), "cpython": ("-m", "tests.cpython")}[what]
    with log.open("w") as file:
        ended = python.run(python.program, *command, *arguments, stdout=file, stderr=subprocess.STDOUT)
    lines = [line for line in log.read_text(errors="replace").splitlines() if re.search(r"\d+ (passed|failed)", line)]
    return (lines[-1].strip("= ") if lines else f"no count, see {log}"), not ended.returncode


def main():
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/pythons", description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION", help=f"of {', '.join(VERSIONS)}; all by default")
    parser.add_argument("--only", choices=("tests", "cpython"), help="not both")
    parser.add_argument("--prepare", action="store_true", help="make the environments, and run nothing")
    options, arguments = parser.parse_known_args()
    if set(options.versions) - set(VERSIONS):
        parser.error(f"the versions are {', '.join(VERSIONS)}")
    failed = []
    for version in options.versions or VERSIONS:
        try:
            python = find(version)
        except Missing as error:
            print(f"pythons: {version} is missing: {error}", flush=True)
            continue
        python.prepare(build(python.base) if version.endswith("t") else build())
        for what in () if options.prepare else filter(None, [options.only] if options.only else ("tests", "cpython")):
            line, well = count(python, what, arguments)
            print(f"pythons: {version} {what}: {line}", flush=True)
            failed += [] if well else [f"{version} {what} ({HOME / f'{version}-{what}.log'})"]
    if failed:
        sys.exit(f"pythons: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
