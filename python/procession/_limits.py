"""Checks of numbers that users give."""

import operator

__all__ = ["positive", "seconds"]


def seconds(timeout):
    """Return a timeout as a float, None for no limit.

    Raises:
        TypeError: it is no number.
    """
    if timeout is None:
        return None
    try:
        return float(timeout)
    except (TypeError, ValueError):
        raise TypeError(f"a timeout is a number of seconds or None, not {timeout!r}") from None


def positive(value, text):
    """Return an integer of 1 or more; `text` begins the error otherwise.

    Raises:
        TypeError: it is no integer.
        ValueError: it is less than 1.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{text} must be an integer, not {value!r}") from None
    if number < 1:
        raise ValueError(f"{text} must be 1 or more, not {number}")
    return number
