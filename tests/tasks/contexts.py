"""Tasks that tell what their worker has of the thread that made the pool."""

import contextvars
import decimal
import os
import signal
import threading

variable = contextvars.ContextVar("variable", default="unset")


def state(_=None):
    """Return the digits of decimals, numpy's way with divisions by zero, a context variable, the CPUs, the thread."""
    import numpy

    thread = threading.current_thread()
    return (
        decimal.getcontext().prec,
        numpy.geterr()["divide"],
        variable.get(),
        sorted(os.sched_getaffinity(0)),
        (thread is threading.main_thread(), thread.name, thread.daemon, threading.Thread().daemon),
    )


def die(_=None):
    """End this worker at once."""
    os.kill(os.getpid(), signal.SIGKILL)
