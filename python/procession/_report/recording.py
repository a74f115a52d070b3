"""Recording what the pools of a program do: `procession.recording()`, and what the environment asks for."""

import json
import os
import platform
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from procession import _procession as engine
from procession._children import math_threads
from procession._finalize import Finalize, register_after_fork
from procession._pool.cpus import usable
from procession._pool.texts import notebook_name
from procession._report.file import MAGIC, VERSION

if TYPE_CHECKING:
    from procession._report.findings import Finding
    from procession._report.functions import FunctionSummary

__all__ = ["ENVIRONMENT", "Recording", "begin_by_environment", "begin_for", "recording"]

# Names the file that the pools of a program are recorded to; children have a sign before it: it is there already.
ENVIRONMENT = "PROCESSION_RECORD"
_ADD = "+"
RESOLUTION_S = 100e-6


def recording(path: str | os.PathLike[str] | None = None, *, resolution: float = RESOLUTION_S) -> "Recording":
    """Record what all pools of this process do, within a `with` block, or between `start()` and `stop()`.

    Workers note when they ran what, at some 20 ns a task; there is no thread and no process for it, but one file. Pools
    that were made before count, too. What threads of a `ThreadPool` run, and the pools of children, is not recorded.

    Args:
        path: the file, which `procession report` reads later, also where the program was killed; None for one that
            goes with the recording.
        resolution: seconds; shorter tasks that follow each other are one row. It doubles when very many were written.

    Returns:
        A `Recording`.

    Raises:
        TypeError, ValueError: an argument makes no sense.
    """
    return Recording(path, resolution)


class Recording:
    """What pools did while it went on. After its end: the page, the trace, the findings.

    Attributes:
        path: the file, a str.
    """

    def __init__(self, path=None, resolution=RESOLUTION_S):
        if isinstance(resolution, bool) or not isinstance(resolution, int | float):
            raise TypeError(f"resolution= is a number of seconds, not {resolution!r}")
        if not 1e-6 <= resolution <= 3600:
            raise ValueError(f"resolution= is 0.000001 to 3600 seconds, not {resolution!r}")
        self._resolution = float(resolution)
        self._own = path is None
        if path is None:
            number, path = tempfile.mkstemp(suffix=".procession")
            os.close(number)
            Finalize(self, _remove, (path, os.getpid()), exitpriority=-100)
        self.path = os.path.abspath(os.fsdecode(path))
        self._run = None

    def start(self) -> None:
        """Begin.

        Raises:
            ValueError: a recording goes on already.
            OSError: the file cannot be written.
        """
        engine.start_recording(self.path, head(), self._resolution)
        self._run = None

    def stop(self) -> None:
        """End it; tasks that still run are shown as unfinished.

        Raises:
            OSError: the file could not be written, as when the disk was full: what it has until then can be read.
        """
        self._run = None  # what was read of it before was not all
        engine.stop_recording()

    def __enter__(self) -> "Recording":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _read(self):
        if self._run is None:
            from procession._report.file import read

            self._run = read(self.path)
        return self._run

    def findings(self) -> "list[Finding]":
        """What to do about the run: at most five findings, those that cost most time first."""
        from procession._report.findings import findings

        return findings(self._read())

    def functions(self) -> "list[FunctionSummary]":
        """What is to be said of each function that was called, in the order of their first calls."""
        from procession._report.functions import summaries

        return summaries(self._read())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to the file `path`: one HTML file with everything in it."""
        from procession._report.page import page

        with open(path, "w", encoding="utf-8") as file:
            file.write(page(self._read()))

    def _repr_html_(self):
        from html import escape

        from procession._report.page import page

        try:
            text = page(self._read())
        except (OSError, ValueError):  # it has not begun
            return escape(repr(self))
        # Without rights of the notebook's own page, whatever the run's names and messages are.
        rights = "allow-scripts allow-downloads allow-popups"
        style = "width:100%;height:640px;border:0"
        return f'<iframe srcdoc="{escape(text)}" sandbox="{rights}" style="{style}"></iframe>'

    def trace(self, path: str | os.PathLike[str]) -> None:
        """Write a trace to the file `path`, for ui.perfetto.dev."""
        from procession._report.trace import trace

        with open(path, "w", encoding="utf-8") as file:
            json.dump(trace(self._read()), file)


recording.__module__ = Recording.__module__ = "procession"  # where programs find it


def _remove(path, process):
    if os.getpid() == process and os.path.exists(path):
        os.unlink(path)


def _program():
    """The name of the program that this process runs, also while `python -m` is about to run it."""
    path = getattr(sys.modules.get("__main__"), "__file__", None) or sys.argv[0]
    if path == "-m":
        words = [word for word in sys.orig_argv[1:] if not word.startswith("-")]
        path = next((word for word in words if word not in ("procession", "run")), "")
    name = os.path.basename(path) or "python"
    return notebook_name() if name == "ipykernel_launcher.py" else name


def head(program=None):
    """What a file begins with: a line that tells of the program and the machine."""
    program = program or _program()
    about = {
        "program": program,
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "begun": time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        "procession": engine.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "cpus": usable(),
        "math_threads": math_threads.given(),
    }
    return MAGIC + b"%d " % VERSION + json.dumps(about).encode() + b"\n"


def begin_by_environment():
    """Record this program, or this child of one, as the environment asks for; a file that fails stops none."""
    path = os.environ[ENVIRONMENT]
    try:
        if path.startswith(_ADD):
            _add_to(path.removeprefix(_ADD))
        elif path:
            begin_for(path)
    except OSError as error:
        print(f"procession: cannot record to {path}: {error.strerror}", file=sys.stderr)


def begin_for(path, program=None):
    """Record this program and its children to `path`, until it ends; then a line says how to see it.

    Raises:
        OSError: the file cannot be written.
    """
    path = os.path.abspath(path)
    engine.start_recording(path, head(program), RESOLUTION_S)
    os.environ[ENVIRONMENT] = _ADD + path
    Finalize(None, _tell, (path, os.getpid()), exitpriority=-101)
    Finalize(None, _end, (os.getpid(),), exitpriority=-100)
    register_after_fork(_Copies(path), _Copies.begin)


class _Copies:
    """Has forked children record their own pools, too."""

    kept = None

    def __init__(self, path):
        self.path = path
        _Copies.kept = self  # what is to be called is known weakly

    def begin(self):
        """A child begins."""
        _add_to(self.path)


def _add_to(path):
    if not os.path.exists(path):
        return  # that of a recording that is over, and was removed
    engine.start_recording(path, None, RESOLUTION_S)
    Finalize(None, _end, (os.getpid(),), exitpriority=-100)
    if _Copies.kept is None:
        register_after_fork(_Copies(path), _Copies.begin)


def _end(process):
    if os.getpid() == process:
        try:
            engine.stop_recording()
        except OSError as error:
            print(f"procession: the recording is not whole: {error}", file=sys.stderr)


def _tell(path, process):
    if os.getpid() == process:
        print(f"report: procession report {os.path.relpath(path)} --open", file=sys.stderr)
