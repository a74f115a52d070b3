"""What a check finds, where it looks, and the list of all checks."""

import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from procession._pool import cpus

__all__ = ["FAILS", "HURTS", "KNOW", "Finding", "Surroundings", "check", "checks_of"]

FAILS, HURTS, KNOW = "fails", "hurts", "know"
_CHECKS: dict[str, tuple[str, "Check"]] = {}
Check = Callable[["Surroundings"], Iterator["Finding"]]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        level: FAILS, HURTS or KNOW.
        name: of the check.
        text: what is so, and what follows from it.
        fix: what to do about it.
        where: the file and line, or an empty text.
    """

    level: str
    name: str
    text: str
    fix: str
    where: str = ""


@dataclass
class Surroundings:
    """Where checks look: the folders of the kernel, the environment, the limits. Tests give made ones.

    Attributes:
        proc, sys, shm: folders.
        environ: the environment variables.
        cpus: how many the machine has.
        limits: a function that returns the soft limit of a resource by its number, or -1.
        modules: the modules of this process, by their names.
        answers: a function that tells whether the kernel answers a system call by its name; None asks it.
        required: what the extras of this package ask for, as its metadata have it, such as
            `ray<3,>=2.40; extra == "ray"`.
        version: a function that returns the version of a package that is installed, or None.
        programs: the programs that were given, as `source.ProgramText` objects.
    """

    proc: str = "/proc"
    sys: str = "/sys"
    shm: str = "/dev/shm"
    environ: dict = field(default_factory=lambda: dict(os.environ))
    cpus: int = field(default_factory=lambda: os.cpu_count() or 1)
    limits: Any = field(default_factory=lambda: _soft_limit)
    modules: dict = field(default_factory=lambda: sys.modules)
    answers: Any = None
    required: Any = field(default_factory=lambda: _required())
    version: Any = field(default_factory=lambda: _version)
    programs: tuple[Any, ...] = ()

    def text(self, *path: str) -> str:
        """Return what a file holds, an empty text where it cannot be read. The first part is `proc` or `sys`."""
        try:
            with open(os.path.join(getattr(self, path[0]), *path[1:]), errors="replace") as file:
                return file.read(1 << 20)
        except OSError:
            return ""

    def number(self, *path: str) -> int | None:
        """Return the number in a file, None where there is none."""
        try:
            return int(self.text(*path).split()[0])
        except (ValueError, IndexError):
            return None

    def groups(self) -> Iterator[str]:
        """Yield the folders of this process's control group of version 2 and of those around it."""
        for line in self.text("proc", "self", "cgroup").splitlines():
            number, _, path = line.split(":", 2)
            if number == "0":
                yield from cpus.upwards("fs/cgroup", path)

    def table(self, *path: str) -> dict[str, int]:
        """Return the numbers of a file whose lines are names and numbers."""
        rows = map(str.split, self.text(*path).splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _soft_limit(which):
    return resource.getrlimit(which)[0]


def _required():
    from importlib.metadata import PackageNotFoundError, requires

    try:
        return requires("procession") or []
    except PackageNotFoundError:  # it is used from a folder
        return []


def _version(name):
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check(name: str, room: str) -> Callable[[Check], Check]:
    """Register a function that takes a `Surroundings` and yields findings as a check.

    Args:
        name: what it is called.
        room: "machine", "python", "libraries" or "program".
    """

    def register(function: Check) -> Check:
        _CHECKS[name] = (room, function)
        return function

    return register


def checks_of(rooms: Iterable[str]) -> list[tuple[str, Check]]:
    """Return `(name, function)` of all checks of some rooms, in the order in which they were registered."""
    return [(name, function) for name, (room, function) in _CHECKS.items() if room in rooms]
