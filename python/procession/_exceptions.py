"""The exceptions, subclasses of the standard ones; a module of its own because it imports `multiprocessing`."""

import multiprocessing.context as standard

__all__ = ["AuthenticationError", "BufferTooShort", "ProcessError", "TimeoutError"]


class ProcessError(standard.ProcessError):
    """The base of the errors below."""


class BufferTooShort(ProcessError, standard.BufferTooShort):
    """The buffer given is too small; `args[0]` is the message that did not fit."""


class TimeoutError(ProcessError, standard.TimeoutError):
    """A wait reached its limit."""


class AuthenticationError(ProcessError, standard.AuthenticationError):
    """The other end of a connection does not know the key."""


for _name in __all__:
    globals()[_name].__module__ = "procession.context"
