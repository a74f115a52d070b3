"""The functions that probes send to workers, the guilty ones among them."""

import decimal
import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path

from benches.faults.limits import limit


def folder():
    """The probe's own folder, where its processes leave notes for each other."""
    return Path(os.environ["PROBE_FOLDER"])


def note(name, text=""):
    """Leaves a note, complete or not at all."""
    unfinished = folder() / f".{name}.{os.getpid()}"
    unfinished.write_text(text)
    unfinished.rename(folder() / name)


def square(number):
    """An innocent task."""
    return number * number


def slow_square(number):
    """An innocent task that takes long enough for all workers to take part."""
    time.sleep(0.01)
    return number * number


def digits(_):
    """Tells with how many digits its worker computes."""
    time.sleep(0.02)
    return len(str(decimal.Decimal(1) / 3)) - len("0.")


def own_pid(_):
    """Tells which worker ran it."""
    time.sleep(0.02)
    return os.getpid()


def kill_worker(_):
    """Kills the worker that runs it, after noting when."""
    note("died", repr(time.monotonic()))
    os.kill(os.getpid(), signal.SIGKILL)


class CannotBeRebuilt(Exception):
    """An exception whose `__init__` does not take what pickle calls it with."""

    def __init__(self, code, reason):
        super().__init__(f"code {code}: {reason}")


def raise_what_cannot_be_rebuilt(_):
    """Raises it."""
    raise CannotBeRebuilt(7, "the reason of it")


class Unusual(BaseException):
    """An exception that is not an `Exception`."""


def raise_base_exception(_):
    """Raises it."""
    raise Unusual("not an Exception")


def exit_with_5(_):
    """What a script's `main` does when it is used as a task."""
    sys.exit(5)


def return_unpicklable(_):
    """Returns what no pickler takes."""
    return threading.Lock()


def explode(text):
    """What a hostile pickle calls."""
    raise ValueError(text)


# Of the probe's own process: whether a function is being pickled, and may go on to be.
lingers, go_on = threading.Event(), threading.Event()


class Lingering:
    """Squares; pickling it takes until another thread has done something else."""

    def __call__(self, number):
        return number * number

    def __reduce__(self):
        lingers.set()
        go_on.wait(limit(10))
        return Lingering, ()


class ExplodesWhenUnpickled:
    """Pickles without trouble; whoever unpickles it gets a ValueError."""

    def __reduce__(self):
        return explode, ("exploded when unpickled",)


def return_what_explodes(_):
    """Returns it."""
    return ExplodesWhenUnpickled()


def fail_in_initializer():
    """An initializer that never works; every run leaves a byte, to be counted."""
    with open(folder() / "initialized", "ab", buffering=0) as runs:
        runs.write(b".")
    raise RuntimeError("the initializer failed on purpose")


def sleep_for_a_minute(number):
    """Says that it runs, then sleeps."""
    note(f"busy-{number}")
    time.sleep(60)


def wait_for_a_note(name, limit):
    """Says that it runs, then waits at most `limit` seconds for a note; returns its name, or None."""
    note("busy-0")
    until = time.monotonic() + limit
    while not (folder() / name).exists():
        if time.monotonic() > until:
            return None
        time.sleep(0.01)
    return name


def stuck_in_c(number):
    """Says that it runs, then stays in C, holding the interpreter."""
    note(f"busy-{number}")
    sum(itertools.repeat(1))


def nested_sum(library, start_method):
    """Uses a pool inside a worker of a pool."""
    from benches.faults.libraries import load

    with load(library, start_method).pool(2) as pool:
        return sum(pool.map(square, range(4), limit(10)))


def endless(_):
    """Never ends, but can be interrupted."""
    while True:
        time.sleep(0.05)
