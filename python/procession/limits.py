"""What a pool wants of its workers, checked where it is given: how long they live, how much they may use."""

import operator
import os

from procession._procession import MemoryGroups

__all__ = ["age", "groups", "in_units", "max_tasks", "memory"]

# Where the kernel shows control groups of version 2, and where it names those of this process.
HIERARCHY = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"

_SIZE = r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?\s*"
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_MOST_BYTES = 2**63


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


def groups():
    """Return where workers may have control groups of their own, None where that was not delegated to this process."""
    return MemoryGroups.find(HIERARCHY, OWN_GROUPS, os.geteuid())


def in_units(number):
    """Return a number of bytes as a text such as `1.5 GB`."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if number >= 1000**power:
            return f"{number / 1000**power:.4g} {unit}"
    return f"{number} bytes"


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
