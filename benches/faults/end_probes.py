"""Probes 10-12: what is left when the parent is killed or interrupted. The runner judges them from outside."""

import os
import signal
import time

from benches.faults import tasks
from benches.faults.verdict import Fault

READY_LIMIT_S = 10


def wait_until_busy(count):
    """Waits until so many tasks have said that they run."""
    until = time.monotonic() + READY_LIMIT_S
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
    pool.map(tasks.own_pid, range(8), READY_LIMIT_S)
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted_map(probe):
    """12 Ctrl-C during a map of 60 s tasks"""
    with probe.library.pool(2) as pool:
        pool.map_forever(tasks.sleep_for_a_minute, range(8))
    raise Fault("no KeyboardInterrupt")


PROBES = {10: killed_while_busy, 11: killed_while_idle, 12: interrupted_map}
