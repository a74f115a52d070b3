"""Control groups in which workers have a limit of memory of their own."""

import os

from procession._procession import MemoryGroups

__all__ = ["groups"]

# Where the kernel shows control groups of version 2, and where it names those of this process.
HIERARCHY = "/sys/fs/cgroup"
OWN_GROUPS = "/proc/self/cgroup"


def groups():
    """Return where workers may have control groups of their own, None where that was not delegated to this process."""
    return MemoryGroups.find(HIERARCHY, OWN_GROUPS, os.geteuid())
