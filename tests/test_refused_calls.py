"""Kernels and sandboxes that refuse a system call: everything works, or an error at the call site names the call."""

import subprocess
import sys
from pathlib import Path

import pytest
import refuse
from procession import _no_threads

PROGRAM = Path(refuse.__file__)
LIMIT = 110
# The answers that filters and emulators give.
ERRORS = ("ENOSYS", "EPERM", "EINVAL")
# Each that something stands in for, once, as the tests of a change are to be quick; scripts/refused has all of them.
SHORT = [
    ("pidfd_open", "EPERM", "fork"),
    ("pidfd_open", "ENOSYS", "spawn"),
    ("pidfd_open", "EPERM", "forkserver"),
    ("waitid_pidfd", "EINVAL", "forkserver"),
    ("pidfd_send_signal", "ENOSYS", "forkserver"),
    ("memfd_create", "EPERM", "forkserver"),
    ("add_seals", "EPERM", "fork"),
    ("fallocate", "ENOSYS", "fork"),
    ("sched_getaffinity", "EPERM", "fork"),
    ("sched_getaffinity", "EINVAL", "spawn"),
    ("prlimit64", "EPERM", "forkserver"),
    ("madvise_dontfork", "EINVAL", "fork"),
    ("preadv2", "EPERM", "fork"),
    ("pwritev2", "EPERM", "fork"),
    ("old_container", "ENOSYS", "forkserver"),
    ("clone3", "EPERM", "fork"),
    ("clone3", "EPERM", "spawn"),
    ("clone3", "EPERM", "forkserver"),
]
WITHOUT_THREADS = """
import sys, threading
def refuse_threads(*_, **__):
    raise RuntimeError("can't start new thread")
for name in ("_start_new_thread", "_start_joinable_thread"):
    if hasattr(threading, name):
        setattr(threading, name, refuse_threads)
sys.path.insert(0, {folder!r})
import refuse
from procession import _no_threads
refuse.main("none", "EPERM", "fork", "pool", "deadline", "manager")
"""


def outcomes(call, error, method, *steps):
    """Return what each step printed: "ok", or its error."""
    command = [sys.executable, "-W", "ignore", str(PROGRAM), call, error, method, *steps]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    lines = dict(line.split(" ", 1) for line in run.stdout.splitlines())
    assert lines.keys() == set(steps or (step.__name__ for step in refuse.STEPS)), run.stdout + run.stderr
    return lines, run.stderr


@pytest.mark.parametrize(("call", "error", "method"), SHORT)
def test_whatever_has_a_stand_in_works_where_a_call_is_refused(call, error, method):
    lines, stderr = outcomes(call, error, method)
    assert (set(lines.values()), stderr) == ({"ok"}, "")


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize("call", refuse.NEEDED)
def test_a_call_without_a_stand_in_is_named_where_it_is_needed(call, error):
    lines, _ = outcomes(call, error, "spawn", "process", "lock", "pool")
    assert (lines["process"], lines["lock"]) == ("ok", "ok")
    assert f"] {call.rstrip('12')}: " in lines["pool"] and "docs/sandboxes.md" in lines["pool"]


@pytest.mark.parametrize("call", ["epoll_create1", "epoll_pwait"])
def test_a_forkserver_that_the_system_refuses_something_says_what(call):
    lines, _ = outcomes(call, "EPERM", "forkserver", "process")
    assert f"{call.rstrip('1')}: Operation not permitted" in lines["process"]
    assert "docs/sandboxes.md" in lines["process"]


def test_where_no_thread_can_be_started_pools_work_and_managers_say_why():
    """Whatever the cause: threads are asked for by Python, and refused there."""
    command = [sys.executable, "-c", WITHOUT_THREADS.format(folder=str(PROGRAM.parent))]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    lines = dict(line.split(" ", 1) for line in run.stdout.splitlines())
    assert lines["pool"] == "ok" and "clone3" in lines["manager"] and "pids.max" in lines["manager"], run
    assert run.stderr.count("RuntimeWarning: pools get no thread of their own") == 1


def test_a_thread_that_cannot_be_started_in_the_other_way_either_says_why(monkeypatch):
    class Refused:
        def start(self):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_no_threads, "make_threads_by_clone", lambda is_ours: True)
    with pytest.raises(RuntimeError, match="can't start new thread: .*pids.max.*clone3"):
        _no_threads.start_all_the_same(Refused(), RuntimeError("no thread"), is_ours=True)


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_setting_that_a_worker_may_not_make_is_the_cause_at_once(method):
    lines, stderr = outcomes("setpriority", "EPERM", method, "options")
    assert lines["options"].startswith(
        "error WorkerDied: a worker of the pool could not be given nice=1: PermissionError"
    )
    assert "<- PermissionError: [Errno 1]" in lines["options"] and stderr == ""
