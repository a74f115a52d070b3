"""The package's exceptions: all of them, for the modules that raise them.

Those for misuse are of two types each: the one that the standard library happens to raise, and the telling one.
"""

import sys

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from procession._late_exceptions import (
        AuthenticationError as AuthenticationError,
        BufferTooShort as BufferTooShort,
        NodeLost as NodeLost,
        OverMemory as OverMemory,
        PoolTerminated as PoolTerminated,
        ProcessError as ProcessError,
        TaskTimeout as TaskTimeout,
        TimeoutError as TimeoutError,
        WorkerDied as WorkerDied,
    )

# Subclasses of the standard exceptions, which are loaded when they are asked for.
OF_CONTEXTS = ("AuthenticationError", "BufferTooShort", "ProcessError", "TimeoutError")
OF_POOLS = ("NodeLost", "OverMemory", "PoolTerminated", "TaskTimeout", "WorkerDied")

__all__ = [
    "LargeNumber", "NegativeNumber", "NoLock", "NoServer", "NotStarted", "Unshareable", "UnknownSerializer",
    *OF_CONTEXTS, *OF_POOLS,
]  # fmt: skip


def __getattr__(name):
    if name in OF_CONTEXTS or name in OF_POOLS:
        from procession import _late_exceptions

        keep_interrupt()
        value = globals()[name] = getattr(_late_exceptions, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def keep_interrupt():
    """Have a program that Ctrl-C has ended end by that signal still, after something was imported.

    The interpreter notes that it does where a KeyboardInterrupt leaves what was compiled of a text, and forgets it
    where another such text is run, as modules do that define named tuples or dataclasses.
    """
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        try:
            exec("raise KeyboardInterrupt")
        except KeyboardInterrupt:
            pass


class NotStarted(AttributeError, ValueError):
    """A process that was not started cannot be ended."""


class NegativeNumber(OSError, ValueError):
    """A count is below zero."""


class LargeNumber(OverflowError, ValueError):
    """A count is above what the system can hold."""


class NoLock(AttributeError, TypeError):
    """What a condition was given is no lock."""


class NoServer(AssertionError, ValueError):
    """A manager has no server, or not any more."""


class Unshareable(KeyError, TypeError):
    """No value of this type can be an item of a `ShareableList`."""

    __str__ = Exception.__str__


class UnknownSerializer(KeyError, ValueError):
    """Managers know no serializer with this name."""

    __str__ = Exception.__str__
