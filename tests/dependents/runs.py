"""Runs a client's tests once, under time limits, and cleans up after them."""

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path

from tests.cpython.campaign import MARK, sweep

MODES = ("std", "run", "import")
_OBSERVER = Path(__file__).with_name("observer.py")
_LOOK_EVERY_S = 0.1
_END_GRACE_S = 2.0
_AROUND_S = 90.0
_FAULTS_AT_MOST = 30


class Outcomes:
    """What became of tests: `by_test` has (outcome, detail) by id, `faults` what went wrong around them."""

    def __init__(self):
        self.by_test = {}
        self.faults = []


def run(client, python, folder, mode, only=(), log=None):
    """Run a client's tests; one that hangs or ends the process is an outcome, and another process runs the rest.

    Args:
        mode: "std" runs them as they are, "run" under `python -m procession`, "import" with the import changed.
        only: ids of the tests to run; all if it is empty.
    """
    outcomes = Outcomes()
    (folder / "plugin").mkdir(exist_ok=True)
    (folder / "plugin" / "observer.py").write_text(_OBSERVER.read_text())
    for _ in range(_FAULTS_AT_MOST):
        if not _run_some(client, python, folder, mode, only, outcomes):
            break
    return outcomes


def _command(client, python, mode, only):
    under = ["-m", "procession"] if mode == "run" else []
    options = ["-q", "-p", "observer", "-p", "no:cacheprovider", "-o", "addopts=", *client.options]
    return [python, *under, "-m", "pytest", *options, *(only or client.tests)]


def _sources(folder, mode):
    return folder / ("import" if mode == "import" else "std")


def _environment(client, folder, mode, mark, done):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "COV"))}
    (folder / "tmp").mkdir(exist_ok=True)
    return {
        **kept,
        MARK: mark,
        "PYTHONPATH": f"{folder / 'plugin'}:{_sources(folder, mode)}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(folder / "tmp"),
        "DEPENDENTS_EVENTS": str(folder / f"{mark}.events"),
        "DEPENDENTS_METHOD": client.method if mode == "import" else "",
        "DEPENDENTS_DONE": json.dumps(list(done)),
    }


def _run_some(client, python, folder, mode, only, outcomes):
    """Run what has no outcome yet; return whether there may be more."""
    mark = uuid.uuid4().hex
    output = folder / f"{mark}.out"
    with open(output, "wb") as file:
        process = subprocess.Popen(
            _command(client, python, mode, only),
            cwd=_sources(folder, mode),
            env=_environment(client, folder, mode, mark, outcomes.by_test),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    hung = True  # should the following be interrupted
    try:
        running, done, hung = _follow(process, folder / f"{mark}.events", client.limit_s, outcomes)
    finally:
        left = _end(process, mark, hung)
    text = output.read_text(errors="replace")[-6000:]
    how = f"hung for {client.limit_s:g} s" if hung else f"ended with status {process.returncode}"
    if running:
        outcomes.by_test[running] = "hung" if hung else "died", f"the process {how}\n{text}"
        return True
    if not done or hung or process.returncode not in (0, 1, 5):
        outcomes.faults.append(f"the process {how}\n{text}")
    elif left:
        outcomes.faults.append(f"{left} processes were left behind")
    return False


def _end(process, mark, hung):
    """End what is left of a run; return how many processes it left behind."""
    if hung:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.send_signal(signal.SIGABRT)  # it writes where it is
            process.wait(_END_GRACE_S)
    left = sweep(mark, process, 0.0 if hung else _END_GRACE_S)
    process.wait()
    return left


def _follow(process, events, limit_s, outcomes):
    running, done, seen, since = None, False, 0, time.monotonic()
    while True:
        ended = process.poll() is not None
        for event in _read(events, seen):
            seen, since = seen + 1, time.monotonic()
            if event[0] == "begins":
                running = event[1]
            elif event[0] == "ends":
                outcomes.by_test[event[1]] = event[2], event[3]
                running = None
            else:
                done = True
        hung = time.monotonic() - since > (limit_s if running else max(limit_s, _AROUND_S))
        if ended or hung:
            return running, done, hung and not ended
        time.sleep(_LOOK_EVERY_S)


def _read(path, seen):
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines[seen:] if line.endswith("\n")]
