"""What a piece of work uses, of this process and of all that it started: time, CPU time, memory at the peak."""

import contextlib
import os
import time
from pathlib import Path


@contextlib.contextmanager
def watched():
    """Fill a dict with what the block used: `seconds`, `cpu_s`, `peak_mib` beyond what was in use before."""
    used = {}
    members = family()
    before_mib = sum(map(_restart_peak, members))
    cpu_s, started = cpu_s_of(members), time.perf_counter()
    yield used
    used["seconds"] = time.perf_counter() - started
    members = family()
    used["cpu_s"] = cpu_s_of(members) - cpu_s
    used["peak_mib"] = max(0.0, sum(map(_peak_mib, members)) - before_mib)


def family():
    """This process and all its descendants, by number."""
    found, left = [], [os.getpid()]
    while left:
        pid = left.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
    return found


def cpu_s_of(members):
    """The CPU time that processes have used, and those of this one's children that have ended, in seconds."""
    ended = os.times()
    return ended.children_user + ended.children_system + sum(map(_process_s, members))


def _process_s(pid):
    try:
        # The clock of another process, as clock_getcpuclockid(3) makes its number.
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _restart_peak(pid):
    """Let the peak of a process begin at what it has now, and return that."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return 0.0
    return _mib(pid, "VmRSS")


def _peak_mib(pid):
    return _mib(pid, "VmHWM")


def _mib(pid, name):
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0
