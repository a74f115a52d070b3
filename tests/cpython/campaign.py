"""Runs classes of tests, each in a process of its own with a time limit, and cleans up after each."""

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid

from tests.cpython.suite import environment

MARK = "PROCESSION_CPYTHON_TESTS"
_LOOK_EVERY_S = 0.05
_END_GRACE_S = 1.0
# What the interpreter has at least to start and to end, when no test runs.
_AROUND_S = 60.0


class Outcomes:
    """What became of tests: `by_test` has (outcome, detail) by id, `faults` what went wrong around them."""

    def __init__(self):
        self.by_test = {}
        self.faults = []


def run_class(folder, python, key, ids, limit_s):
    """Run the tests of one class.

    Args:
        key: (name, module, class).
        ids: the tests.
        limit_s: how many seconds one may take; then the process is killed, and another runs the rest.
    """
    outcomes = Outcomes()
    while left := [test for test in ids if test not in outcomes.by_test]:
        _run_some(folder, python, key, left, limit_s, outcomes)
    return outcomes


def _run_some(folder, python, key, ids, limit_s, outcomes):
    name, module, cls = key
    mark = uuid.uuid4().hex
    events, output = os.path.join(folder, mark), os.path.join(folder, mark + ".out")
    request = {"module": module, "run": [test.partition("/")[2] for test in ids], "events": events}
    with open(output, "wb") as file:
        process = subprocess.Popen(
            [python, "runner.py", json.dumps(request)],
            cwd=folder,
            env=environment(folder, **{MARK: mark}),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    running, done, seen, since, hung = None, False, 0, time.monotonic(), False
    while True:
        ended = process.poll() is not None
        for event in _read(events, seen):
            seen, since = seen + 1, time.monotonic()
            if event[0] == "begins":
                running = f"{name}/{event[1]}"
            elif event[0] == "ends":
                outcomes.by_test[f"{name}/{event[1]}"] = event[2], event[3]
                running = None
            elif event[0] == "fixture":
                outcomes.faults.append(f"{name}/{cls}: {event[1]}: {event[2]}: {event[3]}")
            else:
                done = True
        most = limit_s if running else max(limit_s, _AROUND_S)
        if ended or (hung := time.monotonic() - since > most):
            break
        time.sleep(_LOOK_EVERY_S)
    if hung:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.send_signal(signal.SIGABRT)  # it writes where it is
            process.wait(_END_GRACE_S)
    left_behind = sweep(mark, process, 0.0 if hung else _END_GRACE_S)
    process.wait()
    with open(output, errors="replace") as file:
        text = file.read()[-3000:]
    how = f"was still there after {most:g} s" if hung else f"ended with status {process.returncode}"
    if running:
        outcomes.by_test[running] = "hung" if hung else "failed", f"the process {how}\n{text}"
    elif not done or hung or process.returncode:
        outcomes.faults.append(f"{name}/{cls}: the process {how}\n{text}")
    elif left_behind:
        outcomes.faults.append(f"{name}/{cls}: {left_behind} processes were left behind")
    if not running:
        for test in ids:  # what was not run, because of its class's fixtures or for no reason at all
            outcomes.by_test.setdefault(test, ("failed", "it was not run"))


def _read(path, seen):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        lines = file.readlines()
    return [json.loads(line) for line in lines[seen:] if line.endswith("\n")]


def sweep(mark, process, grace_s):
    """Kill what a run left, after a while; return how many processes these were."""
    end, found = time.monotonic() + grace_s, set()
    while pids := marked(mark, process):
        if time.monotonic() >= end:
            found |= pids - {process.pid}
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_EVERY_S)
    return len(found)


def marked(mark, process):
    """Return the living processes that have the mark in their environment, or are of the session of `process`."""
    pids = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                state, _, _, session = file.read().rpartition(b")")[2].split()[:4]
            with open(f"/proc/{pid}/environ", "rb") as file:
                marked = f"{MARK}={mark}".encode() in file.read().split(b"\0")
        except OSError:
            continue
        if state not in b"ZX" and (marked or int(session) == process.pid):
            pids.add(int(pid))
    return pids
