"""Checks of numbers that users give."""

import operator

from procession._procession import MAX_WORKERS

__all__ = ["few", "positive", "seconds", "whole", "wishes"]


def seconds(timeout):
    """Return a timeout as a float, None for no limit.

    Raises:
        TypeError: it is no number.
    """
    if timeout is None:
        return None
    try:
        if isinstance(timeout, str | bytes):
            raise TypeError
        return float(timeout)
    except (TypeError, ValueError):
        raise TypeError(f"a timeout is a number of seconds or None, not {timeout!r}") from None


def whole(value, text):
    """Return an integer; `text` begins the error otherwise.

    Raises:
        TypeError: it is no integer.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{text} must be an integer, not {value!r}") from None


def positive(value, text):
    """Return an integer of 1 or more; `text` begins the error otherwise.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 1.
    """
    number = whole(value, text)
    if number < 1:
        raise ValueError(f"{text} must be 1 or more, not {number}")
    return number


def few(workers, text):
    """Return a number of workers, of 1 or more; `text` begins the error otherwise.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 1, or more than a pool has room for.
    """
    number = positive(workers, text)
    if number > MAX_WORKERS:
        raise ValueError(f"{text} must be {MAX_WORKERS} or less, not {workers}")
    return number


def wishes(timeout, retries, retry_on):
    """Return what the engine wants to know about the deadline and the further tries of a task; None: nothing special.

    Raises:
        TypeError, ValueError: a value makes no sense.
    """
    if timeout is None and type(retries) is int and retries == 0 and type(retry_on) is tuple and not retry_on:
        return None
    limit = seconds(timeout)
    if limit is not None and not 0 < limit < 3e9:
        raise ValueError(f"the timeout of a task must be more than 0 seconds and finite, not {timeout!r}")
    try:
        tries = operator.index(retries)
    except TypeError:
        raise TypeError(f"retries must be an integer, not {retries!r}") from None
    if not 0 <= tries < 2**31:
        raise ValueError(f"retries must be 0 or more, not {retries!r}")
    classes = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise TypeError(f"retry_on must be an exception class or a tuple of them, not {retry_on!r}")
    if limit is None and tries == 0:
        return None
    return limit, tries, classes or None
