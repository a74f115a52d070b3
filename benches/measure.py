"""Takes single numbers, each from a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benches.libraries import NotOffered
from benches.workload import NOT_OFFERED

ROOT = Path(__file__).parent.parent
LIMIT_S = 300


class Failed(Exception):
    """A measurement gave no number."""


class TooSlow(Failed):
    """A measurement was ended at its limit."""


class Taken(NamedTuple):
    """What a measurement found: the number, and how long the work took that it is from, without what came before."""

    number: float
    work_s: float


def measure(row, name, start_method, quick=False, python=sys.executable, limit_s=LIMIT_S):
    """One number of one library, from a process of its own, as `Taken`.

    Raises:
        NotOffered: the library has not what the row measures.
        TooSlow: there was no number after `limit_s` seconds.
        Failed: the measurement failed; with the end of what it said.
    """
    command = [python, "-m", f"benches.rows.{row}", name, start_method, *(["--quick"] if quick else [])]
    # Files, as what a library leaves behind would hold pipes open.
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as errors,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
    ):
        environment = os.environ | dict.fromkeys(("TMPDIR", "RAY_TMPDIR"), scratch)
        process = subprocess.Popen(
            command, stdout=out, stderr=errors, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise TooSlow(f"no number after {limit_s} s")
        finally:
            _end(process)
        out.seek(0)
        errors.seek(0)
        if status == 0:
            return numbers_in(out.read())
        said = errors.read().strip()
    raise NotOffered(said) if status == NOT_OFFERED else Failed(f"status {status}: {said[-500:]}")


def numbers_in(text):
    """The numbers in what a measurement printed; what it started may have printed more, before and after."""
    for line in reversed(text.splitlines()):
        try:
            number, took = map(float, line.split())
        except ValueError:
            continue
        return Taken(number, took)
    raise Failed(f"no number in what it printed: {text[-500:]}")


def _end(process):
    """Ends a measurement with all its processes, which a failed one may have left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
