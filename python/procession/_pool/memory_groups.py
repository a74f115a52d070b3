"""Control groups in which workers have a limit of memory of their own, and how much memory is said."""

import os

from procession._procession import MemoryGroups

__all__ = ["groups", "in_units"]

# Where the kernel shows control groups of version 2, and where it names those of this process.
HIERARCHY = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"


def groups():
    """Return where workers may have control groups of their own, None where that was not delegated to this process."""
    return MemoryGroups.find(HIERARCHY, OWN_GROUPS, os.geteuid())


def in_units(number):
    """Return a number of bytes as a text such as `1.5 GB`."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if number >= 1000**power:
            return f"{number / 1000**power:.4g} {unit}"
    return f"{number} bytes"
