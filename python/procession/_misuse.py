"""Exceptions for misuse, of two types each: the one that the standard library happens to raise, and the telling one.

A module of its own, as hardly any program needs it.
"""

__all__ = ["LargeNumber", "NegativeNumber", "NoLock", "NoServer", "NotStarted", "Unshareable", "UnknownSerializer"]


class NotStarted(AttributeError, ValueError):
    """A process that was not started cannot be ended."""


class NegativeNumber(OSError, ValueError):
    """Less than nothing."""


class LargeNumber(OverflowError, ValueError):
    """More than there can be."""


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
