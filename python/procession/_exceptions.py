"""The package's exceptions: all of them, for the modules that raise them.

Those for misuse are of two types each: the one that the standard library happens to raise, and the telling one.
"""

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

        value = globals()[name] = getattr(_late_exceptions, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
