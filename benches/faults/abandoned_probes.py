"""Probes 23 and 24: maps whose results nobody can ask for any more."""

import gc
import signal
import threading
import time

from benches.faults import tasks
from benches.faults.limits import limit
from benches.faults.pool_probes import workers_of
from benches.faults.verdict import Fault, map_again


def abandoned_iterator(probe):
    """23 an abandoned endless lazy map takes no further items"""
    taken, closed = 0, threading.Event()

    def numbers():
        nonlocal taken
        try:
            while True:
                taken += 1
                yield taken
        finally:
            closed.set()

    with probe.pool() as pool:
        results = iter(pool.imap_unordered(tasks.square, numbers()))
        next(results)
        del results
        gc.collect()
        # Whether more is taken is the question, so here time itself is what is waited for.
        closed.wait(limit(1))
        before = taken
        time.sleep(1)
        if taken > before:
            raise Fault(f"{taken - before:,} further items taken in a second")
        map_again(pool)
    return f"ok, {before} items taken"


def busy_after_an_interrupt(probe):
    """24 an interrupted map frees its pool"""

    class Stop(Exception):
        pass

    def stop(number, frame):
        raise Stop

    signal.signal(signal.SIGALRM, stop)
    with probe.pool() as pool:
        workers_of(pool)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            pool.map_forever(tasks.sleep_for_a_minute, range(8))
        except Stop:
            pass
        started = time.monotonic()
        try:
            map_again(pool)
        except Fault as fault:
            raise Fault("its pool stays busy", fault.detail) from fault
        took = time.monotonic() - started
    return f"ok, after {took:.2g} s"


PROBES = {23: abandoned_iterator, 24: busy_after_an_interrupt}
