"""What all workers of a pool have of the thread that made it, whichever thread starts them.

Some state belongs to a thread, and a child gets that of the thread that starts it: context variables, among them the
settings of `decimal` and numpy, and in Linux the CPUs and the priority. Workers are replaced by whoever learns of an
end: a caller that waits, or the thread that drives the pool.
"""

import os
import sys
from _contextvars import copy_context  # without what `contextvars` loads

__all__ = ["Maker"]


class Maker:
    """The thread that makes a pool, as it is now.

    Args:
        method: the pool's start method.
    """

    def __init__(self, method):
        self._variables = copy_context()
        decimal = sys.modules.get("decimal")
        if decimal is not None and hasattr(decimal, "setcontext"):
            # An object that can be changed, unlike what others keep in a variable.
            self._variables.run(_keep_decimal, decimal)
        # A server's children have what the server has.
        self._state = None if method == "forkserver" else _state_of_thread()

    def start(self, process):
        """Start a process as this thread would have."""
        self._adjust(process)
        # A copy: what `start` sets stays out of it, and a finalizer that runs meanwhile may start another one.
        self._variables.copy().run(process.start)

    def _adjust(self, process):
        """Add to the settings of a process what it would not get of the thread that runs now."""
        if self._state is None:
            return
        cpus, priority = self._state
        now = _state_of_thread()
        if now == self._state:
            return
        settings = dict(process._settings)
        if cpus is not None and now[0] != cpus:
            settings.setdefault("cpu_affinity", sorted(cpus))
        # Only the other way needs a right that few have.
        if priority > now[1]:
            settings["nice"] = settings.get("nice", 0) + priority - now[1]
        process._settings = settings


def _keep_decimal(decimal):
    decimal.setcontext(decimal.getcontext().copy())


def _state_of_thread():
    try:
        cpus = os.sched_getaffinity(0)
    except (AttributeError, OSError, OverflowError):
        cpus = None
    return cpus, os.getpriority(os.PRIO_PROCESS, 0)
