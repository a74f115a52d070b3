"""Probes 10-12: what is left when the parent is killed or interrupted, judged from outside by the runner; and 21: what
the end of a process does to a pool that is not its own.
"""

import os
import signal
import sys
import tempfile
import time

from benches.faults import tasks
from benches.faults.limits import limit
from benches.faults.verdict import Fault

READY_LIMIT_S = 10


def wait_until_busy(count):
    """Waits until so many tasks have said that they run."""
    until = time.monotonic() + limit(READY_LIMIT_S)
    while len(list(tasks.folder().glob("busy-*"))) < count:
        if time.monotonic() > until:
            raise RuntimeError("the tasks did not start")
        time.sleep(0.002)


def killed_while_busy(probe):
    """10 parent SIGKILLed, workers busy"""
    pool = probe.library.pool(2)
    pool.submit(tasks.stuck_in_c, 0)
    pool.submit(tasks.sleep_for_a_minute, 1)
    wait_until_busy(2)
    os.kill(os.getpid(), signal.SIGKILL)


def killed_while_idle(probe):
    """11 parent SIGKILLed, workers idle"""
    pool = probe.library.pool(2)
    pool.map(tasks.own_pid, range(8), limit(READY_LIMIT_S))
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted_map(probe):
    """12 Ctrl-C during a map of 60 s tasks"""
    with probe.library.pool(2) as pool:
        pool.map_forever(tasks.sleep_for_a_minute, range(8))
    raise Fault("no KeyboardInterrupt")


def exit_of_a_stranger(probe):
    """21 the exit of a forked stranger leaves the pool alone"""
    with probe.pool() as pool, tempfile.TemporaryFile() as said:
        answer = pool.submit(tasks.wait_for_a_note, "go", limit(READY_LIMIT_S))
        wait_until_busy(1)
        stranger = os.fork()
        if stranger == 0:
            os.dup2(said.fileno(), 2)
            sys.exit(0)  # as a worker of a web server does that has loaded the program before it was forked
        probe.say("waiting for the stranger's end")
        until = time.monotonic() + limit(READY_LIMIT_S)
        while os.waitpid(stranger, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                os.kill(stranger, signal.SIGKILL)
                os.waitpid(stranger, 0)
                raise Fault("the stranger hangs")
            time.sleep(0.01)
        probe.say("waiting for tasks")
        tasks.note("go")
        if answer.get(limit(READY_LIMIT_S)) != "go":
            raise Fault("a wrong result")
        if pool.map(tasks.square, range(8), limit(READY_LIMIT_S)) != [number**2 for number in range(8)]:
            raise Fault("a wrong result")
        said.seek(0)
        if text := said.read().decode():
            raise Fault("the stranger complains", text)


PROBES = {10: killed_while_busy, 11: killed_while_idle, 12: interrupted_map, 21: exit_of_a_stranger}
