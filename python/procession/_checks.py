"""Checks of what users give: numbers, limits of tasks and of workers; and what is told of what they may give."""

import operator

from procession._procession import MAX_WORKERS

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import inspect
    from typing import Any

__all__ = ["Signature", "age", "few", "max_tasks", "memory", "positive", "seconds", "whole", "wishes"]

_SIZE = r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?\s*"
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_MOST_BYTES = 2**63


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


# -- what a pool wants of its workers -------------------------------------------------------------------------------


def memory(limit):
    """Return a limit of memory in bytes, None for no limit.

    Args:
        limit: an int of bytes, or a text such as "800MB" (10**6 bytes each), "2GB" (10**9), "1.5GiB" (2**30).

    Raises:
        TypeError, ValueError: it is neither.
    """
    if limit is None:
        return None
    if isinstance(limit, str):
        import re  # which loads more than a whole pool

        match = re.fullmatch(_SIZE, limit, re.ASCII | re.IGNORECASE)
        if match is None:
            raise ValueError(f"max_memory must be a number of bytes or a text such as '2GB', not {limit!r}")
        number, unit, binary = match.groups()
        base = 1024 if binary else 1000
        bytes_ = int(float(number) * base ** _POWERS[unit.lower()]) if unit else int(float(number))
    else:
        if isinstance(limit, bool):
            raise TypeError(f"max_memory must be a number of bytes or a text such as '2GB', not {limit!r}")
        try:
            bytes_ = operator.index(limit)
        except TypeError:
            raise TypeError(f"max_memory must be an int of bytes or a text such as '2GB', not {limit!r}") from None
    if not 0 < bytes_ < _MOST_BYTES:
        raise ValueError(f"max_memory must be more than 0 bytes and less than 2**63, not {limit!r}")
    return bytes_


def age(limit):
    """Return the most seconds that a worker lives, None for no limit.

    Raises:
        TypeError, ValueError: it is no positive, finite number.
    """
    if limit is None:
        return None
    if isinstance(limit, bool | str):
        raise TypeError(f"max_age must be a number of seconds or None, not {limit!r}")
    try:
        seconds = float(limit)
    except (TypeError, ValueError):
        raise TypeError(f"max_age must be a number of seconds or None, not {limit!r}") from None
    if not 0 < seconds < 3e9:  # or not a number
        raise ValueError(f"max_age must be more than 0 seconds and finite, not {limit!r}")
    return seconds


def max_tasks(maxtasksperchild, tasks):
    """Return after how many tasks a worker is replaced, by the standard argument or its other name; None for never.

    Raises:
        TypeError, ValueError: one is no positive integer, or they differ.
    """
    if maxtasksperchild is not None and (type(maxtasksperchild) is not int or maxtasksperchild < 1):
        raise ValueError(f"maxtasksperchild must be a positive int or None, not {maxtasksperchild!r}")
    if tasks is None:
        return maxtasksperchild
    if isinstance(tasks, bool):
        raise TypeError(f"max_tasks must be a positive int or None, not {tasks!r}")
    try:
        tasks = operator.index(tasks)
    except TypeError:
        raise TypeError(f"max_tasks must be a positive int or None, not {tasks!r}") from None
    if tasks < 1:
        raise ValueError(f"max_tasks must be a positive int or None, not {tasks!r}")
    if maxtasksperchild not in (None, tasks):
        raise ValueError("max_tasks and maxtasksperchild are two names of one limit: give one of them")
    return tasks


class Signature:
    """The signature of a class as its `__init__` has it, where `__new__` takes whatever a subclass may be given."""

    def __get__(self, obj: object, cls: "type[Any]") -> "inspect.Signature":
        import inspect

        whole = inspect.signature(cls.__init__)
        return whole.replace(parameters=list(whole.parameters.values())[1:], return_annotation=whole.empty)
