"""Checks of the interpreter: what it was built with, and how it is set up."""

import os
import sys
from collections.abc import Iterator

from procession.cli.doctor.finding import FAILS, HURTS, KNOW, Finding, Surroundings, check

# What `os` and others have only where the C library had it when the interpreter was built.
_BUILT_WITH = (("os", "pidfd_open"), ("os", "memfd_create"), ("os", "eventfd"), ("signal", "pidfd_send_signal"))


@check("sem-open", "python")
def sem_open(place: Surroundings) -> Iterator[Finding]:
    """An interpreter without semaphores."""
    try:
        import _multiprocessing

        there = hasattr(_multiprocessing, "SemLock")
    except ImportError:
        there = False
    if not there:
        yield Finding(
            HURTS,
            "sem-open",
            "This Python has no semaphores: multiprocessing's locks and queues fail, in libraries too; those of "
            "procession work.",
            "python -m procession program.py",
        )


@check("built-without", "python")
def built_without(place: Surroundings) -> Iterator[Finding]:
    """A prebuilt interpreter that lacks calls its system has."""
    lacking = [
        f"{module}.{name}"
        for module, name in _BUILT_WITH
        if module in place.modules and not hasattr(place.modules[module], name)
    ]
    if lacking:
        yield Finding(
            KNOW,
            "built-without",
            f"This Python was built for an older system, without {', '.join(lacking)}: libraries that use them fail, "
            "procession calls the system itself.",
            "an interpreter of the distribution, where a library needs them",
        )


@check("executable", "python")
def executable(place: Surroundings) -> Iterator[Finding]:
    """An interpreter that children cannot be started by."""
    frozen = getattr(place.modules["sys"], "frozen", False)
    path = getattr(place.modules["sys"], "executable", "")
    if not path or not (frozen or os.access(path, os.X_OK)):
        yield Finding(
            FAILS,
            "executable",
            f"sys.executable is {path!r}: spawn and forkserver cannot start children.",
            "procession.set_executable('/path/to/python')",
        )


@check("free-threaded", "python")
def free_threaded(place: Surroundings) -> Iterator[Finding]:
    """A build without a lock that has one again."""
    is_on = getattr(sys, "_is_gil_enabled", None)
    if is_on is not None and "free-threading" in sys.version and is_on():
        yield Finding(
            KNOW,
            "free-threaded",
            "This Python is a free-threaded build, and its lock is on: by PYTHON_GIL, -X gil, or a module that "
            "asks for it.",
            "python -X gil=0 -W default",
        )


@check("hash-seed", "python")
def hash_seed(place: Surroundings) -> Iterator[Finding]:
    """Hashes of texts that differ in each child."""
    source = next((source for source in place.programs if source.hashes_texts), None)
    if source is not None and place.environ.get("PYTHONHASHSEED", "random") == "random":
        yield Finding(
            KNOW,
            "hash-seed",
            "hash() of a text differs in each child that is spawned, and in the server that others are forked from.",
            "hashlib, or PYTHONHASHSEED=0",
            f"{source.path}:{source.hashes_texts}",
        )


@check("coverage", "python")
def coverage(place: Surroundings) -> Iterator[Finding]:
    """Coverage that does not follow children."""
    for name in (".coveragerc", "setup.cfg", "tox.ini", "pyproject.toml"):
        try:
            with open(os.path.join(place.environ.get("PWD", "."), name), errors="replace") as file:
                text = file.read(1 << 20)
        except OSError:
            continue
        if not ("[tool.coverage" in text or "[coverage:run]" in text or (name == ".coveragerc" and "[run]" in text)):
            continue
        if "multiprocessing" not in text and "subprocess" not in text:
            yield Finding(
                HURTS,
                "coverage",
                "coverage is set up without `concurrency = multiprocessing`: what runs in children counts as not run.",
                'concurrency = ["multiprocessing", "thread"], parallel = true; docs/tools.md',
                name,
            )
        return
