"""Fixtures for all tests: every start method through one name, and nothing left behind by any test."""

import gc
import os
import signal
import threading
import time

import procession
import psutil
import pytest
from procession import forkserver, process, resource_tracker

SETTLE_SECONDS = 5.0

# A shell starts its background jobs with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=procession.get_all_start_methods())
def context(request):
    """The context of each start method in turn."""
    return procession.get_context(request.param)


@pytest.fixture
def pool(context):
    """A pool of two workers, by each start method in turn."""
    with context.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Fail a test that leaves a process, a zombie, a descriptor or a thread."""
    before = _belongings()
    yield
    end = time.monotonic() + SETTLE_SECONDS
    left = _left_since(before)
    while left and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
        left = _left_since(before)
    assert not left, f"left behind: {left}"


def pytest_sessionfinish():
    """End the children that failed tests left, which would otherwise be waited for."""
    for child in procession.active_children():
        child.kill()


def _left_since(before):
    now = _belongings()
    left = [_description(p) for p in now[0] - before[0]] + [t for t in now[2] if t not in before[2]]
    descriptors = set(now[1].items()) - set(before[1].items())
    if len(now[1]) > len(before[1]):
        left += sorted(descriptors)
    return left


def _belongings():
    """Children, descriptors and threads of this process, without the helpers that live as long as it does."""
    helpers = {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}
    # Equal is what has the same id and began at the same moment: state and command line change.
    children = {p for p in _children() if p.pid not in helpers}
    control, page = forkserver._forkserver._control, forkserver._forkserver._statuses
    kept = {
        control.fileno() if control else None,
        page.fileno() if page else None,
        forkserver._forkserver._sentinel,
        resource_tracker._resource_tracker._fd,
        process._own_pidfd[1],
    }
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if int(name) not in kept:
            descriptors[int(name)] = target
    return children, descriptors, {t.name for t in threading.enumerate()}


def _children():
    """Yield what this process has started; psutil would look through all processes of the machine."""
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as file:
                pids = file.read().split()
        except OSError:  # the thread is gone; its children are another's
            continue
        for pid in pids:
            try:
                yield psutil.Process(int(pid))
            except psutil.NoSuchProcess:
                pass


def _description(p):
    try:
        return p.pid, p.status(), " ".join(p.cmdline())[:100]
    except psutil.Error:
        return p.pid, "gone", ""
