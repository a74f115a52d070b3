"""The exceptions that are subclasses of the standard ones; a module of its own because it imports `multiprocessing`."""

import multiprocessing.context as standard

from procession._exceptions import OF_CONTEXTS, OF_POOLS

__all__ = [*OF_CONTEXTS, *OF_POOLS]


class ProcessError(standard.ProcessError):
    """The base of the errors below."""


class BufferTooShort(ProcessError, standard.BufferTooShort):
    """The buffer given is too small; `args[0]` is the message that did not fit."""


class TimeoutError(ProcessError, standard.TimeoutError):
    """A wait reached its limit."""


class AuthenticationError(ProcessError, standard.AuthenticationError):
    """The other end of a connection does not know the key."""


class WorkerDied(ProcessError):
    """The worker that ran this task ended before the task did: killed, crashed, or ended by `os._exit`."""

    _cause: BaseException | None  # of one that travels: its `__cause__` there


class NodeLost(WorkerDied):
    """The nodes of a cluster that this task was sent to were lost, one after the other, or none is left."""


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


# Where programs find them.
for _name in OF_CONTEXTS:
    globals()[_name].__module__ = "procession.context"
for _name in OF_POOLS:
    globals()[_name].__module__ = "procession"
