"""How many CPUs this process may use: by its affinity, by its control group, by its share of a pool's."""

import os
import time

from procession import process

__all__ = ["budget", "quota", "upwards", "usable"]

# For how long the control groups are believed to be as they were.
RECENT_S = 1.0


def usable():
    """Return how many CPUs this process may keep busy: its affinity, or fewer if its control group has a quota.

    `-X cpu_count` and PYTHON_CPU_COUNT override it where the interpreter knows them (3.13 and newer).
    """
    try:
        count = getattr(os, "process_cpu_count", allowed)() or 1
    except (OSError, OverflowError):  # a sandbox's filter of system calls: EINVAL looks like a set that is too small
        count = os.cpu_count() or 1
    limit = _recent_quota()
    return count if limit is None else max(1, min(count, int(-(-limit // 1))))


def allowed():
    """Return how many CPUs this process may run on, those of the machine where it may not ask."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError, OverflowError):
        return os.cpu_count()


def budget():
    """Return how many workers a pool of this process has by default: in a worker of a pool, its share of the CPUs."""
    share = process.current_process()._config.get("cpus")
    return usable() if share is None else max(1, min(share, usable()))


_looked = (0, 0.0, None)  # by which process, when, and what was found


def _recent_quota():
    """Return what `quota` told a moment ago, or now: a program may make one pool after the other."""
    global _looked
    process_id, at, limit = _looked
    now = time.monotonic()
    if process_id != os.getpid() or now - at > RECENT_S:
        limit = quota()
        _looked = (os.getpid(), now, limit)
    return limit


def quota(groups="/proc/self/cgroup", root="/sys/fs/cgroup"):
    """Return how many CPUs' time the control groups of this process leave it, None without such a limit.

    Args:
        groups: the file that names the groups of this process.
        root: where the hierarchies are mounted.
    """
    limits = []
    for line in _read(groups).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += [_of_version_2(folder) for folder in upwards(root, path)]
        elif "cpu" in controllers.split(","):
            for mount in (controllers, "cpu"):
                limits += [_of_version_1(folder) for folder in upwards(os.path.join(root, mount), path)]
    return min((limit for limit in limits if limit), default=None)


def upwards(root, path):
    """Yield the folders of a group and of those around it; in a container the path may lead nowhere."""
    names = [name for name in path.split("/") if name not in ("", "..")]
    for depth in range(len(names), -1, -1):
        yield os.path.join(root, *names[:depth])


def _of_version_2(folder):
    words = _read(os.path.join(folder, "cpu.max")).split()
    return _ratio(*words) if len(words) == 2 else None


def _of_version_1(folder):
    used = _read(os.path.join(folder, "cpu.cfs_quota_us")).strip()
    return _ratio(used, _read(os.path.join(folder, "cpu.cfs_period_us")).strip()) if used else None


def _ratio(used, period):
    try:
        limit = int(used) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no limit
        return None
    return limit if limit > 0 else None


def _read(path):
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(file, 1 << 16).decode(errors="replace")  # such files come in one piece
    except OSError:
        return ""
    finally:
        os.close(file)
