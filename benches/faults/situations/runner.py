"""Runs situations in a process of their own, under a limit, and looks at what is left when it is gone."""

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from benches.faults.footprint import footprint, growth, left_of
from benches.faults.runner import ROOT, Verdict
from benches.faults.situations import SITUATIONS, works

for _area in ("objects", "iterables", "processes", "resources", "programs", "sharing"):
    importlib.import_module(f"benches.faults.situations.{_area}")
CATALOG = dict(SITUATIONS)
LIMIT_S = 600
GONE_LIMIT_S = 5.0


def run(names, start_method):
    """Runs situations one after another in one process, up to the first in which procession misbehaves.

    Args:
        names: which; those in `ALONE` by themselves only.
        start_method: how workers and processes are started.

    Returns:
        A `Verdict`, whose detail says last which situation was tried.
    """
    marker = uuid.uuid4().hex
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="situation-", ignore_cleanup_errors=True) as folder:
        environment = {
            **os.environ,
            "SITUATION_MARKER": marker,
            "TMPDIR": folder,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
        command = [sys.executable, "-X", "faulthandler", "-m", "benches.faults.situations.runner", start_method, *names]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        try:
            text, _ = process.communicate(timeout=LIMIT_S)
            what = "ok" if process.returncode == 0 else f"exit status {process.returncode}"
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # faulthandler prints where it hangs
            try:
                text, _ = process.communicate(timeout=10)
            except subprocess.TimeoutExpired as error:
                text = (error.stdout or b"").decode(errors="replace")
            what = "hangs"
        left = left_of(f"SITUATION_MARKER={marker}", Path(folder), GONE_LIMIT_S)
        process.kill()
    if what == "ok" and left:
        what = f"leaves {left}"
    return Verdict(what == "ok", what, text[-4000:], time.monotonic() - started)


def main():
    """Is their program: what it has of processes, threads, descriptors and segments must not grow in any of them."""
    import procession

    start_method, *names = sys.argv[1:]
    context = procession.get_context(start_method)
    with context.Pool(2) as pool:
        works(pool)
    context.Lock()
    segment = procession.shared_memory.SharedMemory(create=True, size=1)
    segment.close()
    segment.unlink()
    for name in names:
        print(name, flush=True)
        before = footprint()
        CATALOG[name](context)
        if left := growth(before):
            raise AssertionError(f"leaves {left}")


if __name__ == "__main__":
    main()
