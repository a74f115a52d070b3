"""SIGTERM and SIGHUP: whoever supervises a program sends them to all of its processes, and the program decides."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import procession
import psutil
import pytest
from procession import forkserver
from procession._children import popen_forkserver
from tasks import signals

PROGRAM = Path(__file__).parent / "programs/supervised/draining.py"
LIMIT = 60
SIGNALS = ("SIGTERM", "SIGHUP")


def supervised(method, name):
    """Start the program in a session of its own, and return it once it works."""
    command = [sys.executable, str(PROGRAM), method, name]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stdout.readline() == "working\n", run.communicate()
    return run


@contextmanager
def handled(how):
    """Have this process handle SIGTERM."""
    before = signal.signal(signal.SIGTERM, how)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def send_from_elsewhere(number, pid):
    """Send a signal from a process that is nobody's parent."""
    subprocess.run([sys.executable, "-c", f"import os; os.kill({pid}, {int(number)})"], check=True, timeout=LIMIT)


def wait_until(condition, what):
    """Wait until `condition()` is true."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.01)


def pid_in(path):
    """Wait for the number of a process that it writes into a file."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), "process")
    return int(path.read_text())


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize("method", procession.get_all_start_methods())
def test_a_program_that_drains_gets_all_results_when_its_whole_group_is_asked_to_end(method, name):
    run = supervised(method, name)
    os.killpg(run.pid, getattr(signal, name))
    out, err = run.communicate(timeout=LIMIT)
    assert (out, err, run.returncode) == (f"True [144, 9] [100] 0 0 ['{name}']\n", "", 0)


@pytest.mark.parametrize("method", procession.get_all_start_methods())
def test_a_program_without_a_handler_ends_with_all_its_processes(method):
    run = supervised(method, "SIGUSR1")
    family = psutil.Process(run.pid).children(recursive=True)
    assert family
    os.killpg(run.pid, signal.SIGTERM)
    run.communicate(timeout=LIMIT)
    assert run.returncode == -signal.SIGTERM
    _, alive = psutil.wait_procs(family, LIMIT)
    assert not alive


@pytest.mark.parametrize("how", [lambda *_: None, signal.SIG_IGN], ids=["handled", "ignored"])
def test_a_worker_leaves_a_signal_from_elsewhere_to_a_parent_that_has_taken_it_over(context, how, tmp_path):
    with handled(how), context.Pool(1) as pool:
        result = pool.apply_async(signals.say_and_spin, (str(tmp_path / "here"),))
        send_from_elsewhere(signal.SIGTERM, pid_in(tmp_path / "here"))
        (tmp_path / "here.end").touch()
        assert result.get(LIMIT) == "went on"


def test_a_worker_obeys_a_signal_from_elsewhere_where_its_parent_has_not_taken_it_over(context, tmp_path):
    with context.Pool(1) as pool:
        result = pool.apply_async(signals.say_and_spin, (str(tmp_path / "here"),))
        send_from_elsewhere(signal.SIGTERM, pid_in(tmp_path / "here"))
        with pytest.raises(procession.WorkerDied, match="killed by SIGTERM"):
            result.get(LIMIT)


def test_a_worker_obeys_its_parent_and_itself_and_what_it_forks_obeys_it(context, tmp_path):
    with handled(lambda *_: None), context.Pool(1) as pool:
        assert pool.apply(signals.fork_and_end) == -signal.SIGTERM
        with pytest.raises(procession.WorkerDied, match="killed by SIGTERM"):
            pool.apply(signals.end_oneself)
        result = pool.apply_async(signals.say_and_spin, (str(tmp_path / "here"),))
        os.kill(pid_in(tmp_path / "here"), signal.SIGTERM)
        with pytest.raises(procession.WorkerDied, match="killed by SIGTERM"):
            result.get(LIMIT)


def test_a_process_obeys_whoever_asks_it_to_end(context):
    ours, theirs = context.Pipe()
    with handled(lambda *_: None):
        child = context.Process(target=signals.say_and_stay, args=(theirs,))
        child.start()
        assert ours.poll(LIMIT)
        send_from_elsewhere(signal.SIGTERM, ours.recv())
        child.join(LIMIT)
        assert child.exitcode == -signal.SIGTERM


def test_how_a_worker_ended_is_unknown_where_the_forkserver_ended_too(tmp_path):
    with procession.get_context("forkserver").Pool(1) as pool:
        result = pool.apply_async(signals.say_and_spin, (str(tmp_path / "here"),))
        worker = pid_in(tmp_path / "here")
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
        assert forkserver._forkserver.has_ended(LIMIT)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(procession.WorkerDied, match="ended; how is unknown: the forkserver ended, too"):
            result.get(LIMIT)


def free_entries(page):
    """The numbers of the entries of a page that nobody has."""
    free = list(iter(page.take, None))
    for number in free:
        page.give_back(number)
    return free


def test_where_a_forkserver_tells_how_a_child_ended_is_free_again_though_it_does_not_tell(monkeypatch):
    context, server = procession.get_context("forkserver"), forkserver._forkserver
    monkeypatch.setattr(popen_forkserver, "_STATUS_SECONDS", 0.1)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        child = context.Process(target=time.sleep, args=(LIMIT,))
        child.start()
        entry = child._popen._entry
        os.kill(server._forkserver_pid, number)
        os.kill(child.pid, signal.SIGKILL)
        if number == signal.SIGKILL:
            assert server.has_ended(LIMIT)
            child.join(LIMIT)
        else:
            child.join(LIMIT)
            # It may still write there, so nobody else gets the entry before.
            assert entry.number not in free_entries(entry.page)
            os.kill(server._forkserver_pid, signal.SIGCONT)
        wait_until(lambda: entry.number in free_entries(entry.page), "the entry to be free")  # noqa: B023


def stop_the_forkserver():
    server = forkserver._forkserver
    boots = server.boots
    server._stop()
    sys.exit(not server.is_running() or server.boots != boots)


def test_a_child_does_not_let_go_of_the_forkserver_of_its_parent():
    child = procession.get_context("forkserver").Process(target=stop_the_forkserver)
    child.start()
    child.join(LIMIT)
    assert child.exitcode == 0
