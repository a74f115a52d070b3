"""Runs one probe in a process of its own, under a limit, and looks at what is left when it is gone."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from benches.faults import limits
from benches.faults.footprint import left_of

ROOT = Path(__file__).parent.parent.parent
PROBE_LIMIT_S = 25
END_LIMIT_S = 10
GONE_LIMIT_S = 1.0
INTERRUPT_LIMIT_S = 0.3
KILLED_PARENT, INTERRUPTED = (10, 11), 12


@dataclass
class Verdict:
    """What a probe found.

    Attributes:
        ok: whether the library behaved; None when the library has no such thing.
        what: what happened, in a few words.
        detail: more of it.
        seconds: how long the probe took.
    """

    ok: bool | None
    what: str
    detail: str = ""
    seconds: float = 0.0


class Run:
    """One run of a probe."""

    def __init__(self, number, library, start_method, patience):
        self.number, self.patience = number, patience
        self.marker = f"PROBE_MARKER={uuid.uuid4().hex}"
        self.arguments = [str(number), library, start_method]

    def start(self, folder):
        """Starts the probe; its temporary files, notes and output go to `folder`."""
        self.folder = folder
        (folder / "tmp").mkdir()
        key, value = self.marker.split("=")
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environment = {
            **os.environ,
            key: value,
            limits.VARIABLE: str(self.patience),
            "PROBE_FOLDER": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": paths,
        }
        self.started = time.monotonic()
        with open(folder / "stderr", "wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benches.faults.probe", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=self.environment,
                start_new_session=True,
            )

    def stderr(self):
        """What the probe and its workers have printed."""
        return (self.folder / "stderr").read_text(errors="replace")

    def limit(self, seconds):
        """The limit that stands for one of so many seconds on an idle machine."""
        return limits.patient(seconds, self.patience)

    def left(self):
        """What there is after the end of the probe, once a second has passed, of processes and files."""
        return left_of(self.marker, self.folder / "tmp", self.limit(GONE_LIMIT_S))

    def interrupt(self):
        """Presses Ctrl-C once two tasks run, and judges what follows."""
        until = time.monotonic() + self.limit(PROBE_LIMIT_S)
        while len(list(self.folder.glob("busy-*"))) < 2:
            if time.monotonic() > until or self.process.poll() is not None:
                return Verdict(False, "tasks do not start", self.stderr())
            time.sleep(0.002)
        pressed = time.monotonic()
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(self.limit(END_LIMIT_S))
        except subprocess.TimeoutExpired:
            return Verdict(False, f"> {self.limit(END_LIMIT_S):g} s", self.stderr())
        took = time.monotonic() - pressed
        text = self.stderr()
        if took > self.limit(INTERRUPT_LIMIT_S):
            return Verdict(False, f"{took:.1f} s", text)
        if text.count("Traceback") != 1 or text.count("\nKeyboardInterrupt") != 1:
            return Verdict(False, f"{text.count('Traceback')} tracebacks", text)
        return Verdict(True, f"ok, {took:.2f} s")

    def finish(self):
        """Waits for the probe's verdict."""
        verdict = self.interrupt() if self.number == INTERRUPTED else self.wait()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        return verdict

    def wait(self):
        """Waits for the probe to end by itself."""
        try:
            status = self.process.wait(self.limit(PROBE_LIMIT_S))
        except subprocess.TimeoutExpired:
            status = None
        verdict, stage = self.folder / "verdict", self.folder / "stage"
        if self.number in KILLED_PARENT and status == -signal.SIGKILL:
            return Verdict(True, "ok")
        if not verdict.exists():
            where = stage.read_text() if stage.exists() else "before it began"
            return Verdict(False, f"hangs {where}" if status is None else f"exit status {status}", self.stderr())
        found = Verdict(**json.loads(verdict.read_text()))
        if found.ok and status != 0:
            return Verdict(False, "hangs at exit" if status is None else f"exit status {status}", self.stderr())
        if found.ok and self.number != 9 and "Traceback" in self.stderr():
            return Verdict(False, "prints tracebacks", self.stderr())
        return found


def run(number, library, start_method, patience=1.0):
    """Runs one probe.

    Args:
        number: which one, as in the matrix.
        library: the adapter's name.
        start_method: how its workers are started.
        patience: how much longer than usual everything may take, up to a minute.

    Returns:
        A `Verdict`.
    """
    probe = Run(number, library, start_method, patience)
    with tempfile.TemporaryDirectory(prefix="probe-", ignore_cleanup_errors=True) as folder:
        probe.start(Path(folder))
        verdict = probe.finish()
        left = probe.left()
        if verdict.ok and left:
            verdict = Verdict(False, f"leaves {left}", probe.stderr())
        if not verdict.ok:
            verdict.detail = f"{verdict.detail}\n{probe.stderr()[-2000:]}".strip()
    verdict.seconds = round(time.monotonic() - probe.started, 3)
    return verdict
