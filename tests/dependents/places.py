"""Fetches a client and its tests, and makes the folders in which they run."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.cpython.suite import change

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).with_name("programs")
TOOLS = ("pytest==9.2.0", "cloudpickle==3.1.3")
_FETCH_S = 1800.0


class NotThere(Exception):
    """A client, or the interpreter it needs, cannot be had."""


def _run(*command, cwd=None):
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        done = subprocess.run(command, cwd=cwd, timeout=_FETCH_S, **output)
    except subprocess.TimeoutExpired:
        raise NotThere(f"{' '.join(map(str, command))}: no end within {_FETCH_S:g} s")
    if done.returncode:
        raise NotThere(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}")
    return done.stdout


def prepare(client, folder):
    """Make a virtual environment for a client, its tests in `folder/std`, and those with the import changed beside it.

    Returns:
        The interpreter of that environment.

    Raises:
        NotThere: the client cannot be had; the text says why.
    """
    if not os.access(client.python, os.X_OK):
        raise NotThere(f"there is no {client.python}")
    python = folder / "venv" / "bin" / "python"
    of_system = ["--system-site-packages"] if client.source not in ("sdist", "own") else []
    _run(client.python, "-m", "venv", "--without-pip", *of_system, folder / "venv")
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    wanted = [f"{client.name}=={client.version}"] if not of_system else []
    _run(*pip, "install", "-q", *TOOLS, *client.needs, *wanted)
    place = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A copy, as this checkout may be built anew meanwhile; what it needs besides is among the tools.
    shutil.copytree(ROOT / "python" / "procession", Path(place, "procession"))
    std = folder / "std"
    if client.source == "own":
        std.mkdir()
        for test in client.tests:
            shutil.copy(PROGRAMS / test, std)
        module = client.name.replace("-", "_")
        shutil.copytree(Path(place, module), std / module)
    else:
        (_source_of_sdist if client.source == "sdist" else _source_of_debian)(client, folder, std)
    shutil.copytree(std, folder / "import", symlinks=True)
    for path in sorted((folder / "import").rglob("*.py")):
        try:
            change(path, path.parent)
        except UnicodeDecodeError:
            continue  # made to be no text
    return python


def _source_of_sdist(client, folder, std):
    got = folder / "sdist"
    wanted = f"{client.name}=={client.version}"
    _run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", got, wanted)
    _unpack(next(got.glob("*.tar.gz")), std)


def _source_of_debian(client, folder, std):
    """Take the source that belongs to the package of the system; the lists of sources are those of this run."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    found = Path("/etc/apt/sources.list.d/debian.sources")
    if not found.exists():
        raise NotThere("this system has no list of Debian's packages")
    (folder / "src.sources").write_text(found.read_text().replace("Types: deb\n", "Types: deb-src\n"))
    apt = ("apt-get", "-q", "-o", f"Dir::Etc::sourcelist={folder / 'src.sources'}", "-o", "Dir::Etc::sourceparts=-")
    apt += ("-o", f"Dir::State::lists={lists}")
    _run(*apt, "update")
    _run(*apt, "source", "--download-only", "--tar-only", client.source, cwd=folder)
    _unpack(next(folder.glob("*.orig.tar.*")), folder / "all")
    std.mkdir()
    for test in client.tests:  # alone: the modules beside them are not built
        (std / test).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "all" / test, std / test)
    shutil.rmtree(folder / "all")


def _unpack(archive, into):
    with tarfile.open(archive) as tar:
        tar.extractall(into.with_suffix(".new"), filter="data")
    (top,) = into.with_suffix(".new").iterdir()
    top.rename(into)
    into.with_suffix(".new").rmdir()
