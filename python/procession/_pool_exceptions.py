"""The exceptions of pools that are subclasses of the standard ones; a module of its own because these load much."""

from procession._exceptions import ProcessError, TimeoutError

__all__ = ["OverMemory", "PoolTerminated", "TaskTimeout", "WorkerDied"]


class WorkerDied(ProcessError):
    """The worker that ran this task ended before the task did: killed, crashed, or ended by `os._exit`."""


class OverMemory(WorkerDied):
    """A task took more memory than `max_memory`, and its worker was killed for it.

    Attributes:
        peak: the most memory of the worker that was seen, in bytes.
        limit: how much it may have, in bytes.
        function: the name of the task's function.
        index: the place of the task in its job, from 0.
    """

    peak = limit = index = 0
    function = ""


class TaskTimeout(TimeoutError):
    """A task ran longer than its `timeout`; raised inside the task first, and to whoever waits for it."""


class PoolTerminated(ProcessError):
    """The pool was terminated before this task had an outcome."""


for _name in __all__:
    globals()[_name].__module__ = "procession.portable"
