"""What a process has of processes, zombies, threads, descriptors and anonymous shared memory."""

import gc
import os
import signal
import time
from collections import Counter

from benches.faults.limits import limit

SETTLE_LIMIT_S = 2.0


def parents():
    """The parent and the state of every process."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                with open(f"/proc/{entry.name}/stat") as stat:
                    state, parent = stat.read().rpartition(")")[2].split()[:2]
            except OSError:
                continue  # it ended while the list was read
            yield int(entry.name), int(parent), state


def descendants(ancestor):
    """All processes below `ancestor`, as a dict of their states."""
    processes = list(parents())
    found, grew = {}, True
    while grew:
        grew = False
        for pid, parent, state in processes:
            if pid not in found and (parent == ancestor or parent in found):
                found[pid] = state
                grew = True
    return found


def footprint():
    """Counts what this process has now."""
    states = descendants(os.getpid())
    zombies = sum(state == "Z" for state in states.values())
    with open("/proc/self/maps") as maps:
        segments = sum("/memfd:" in line or "/dev/shm/" in line for line in maps)
    return Counter(
        {
            "process": len(states) - zombies,
            "zombie": zombies,
            "thread": len(os.listdir("/proc/self/task")),
            "descriptor": len(os.listdir("/proc/self/fd")),
            "segment": segments,
        }
    )


def growth(before):
    """What this process has more than `before`, once it has had a moment to settle.

    Returns:
        A text such as "1 process, 2 descriptors"; empty when there is nothing more.
    """
    until = time.monotonic() + limit(SETTLE_LIMIT_S)
    while True:
        gc.collect()
        more = footprint() - before
        if not more or time.monotonic() > until:
            plural = {"process": "processes"}
            return ", ".join(
                f"{count} {name if count == 1 else plural.get(name, name + 's')}" for name, count in more.items()
            )
        time.sleep(0.01)


def marked(marker):
    """The living processes that have `marker` in their environment."""
    found = []
    for pid, _, state in parents():
        if state == "Z":
            continue
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                if marker.encode() in environ.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def left_of(marker, folder, limit_s):
    """What is left of a program that has ended, of processes and files.

    Args:
        marker: what its processes have in their environment; those that are there after `limit_s` seconds are ended.
        folder: where its temporary files were.

    Returns:
        A text such as "1 processes, 2 temporary files"; empty when there is nothing.
    """
    until = time.monotonic() + limit_s
    while (processes := marked(marker)) and time.monotonic() < until:
        time.sleep(0.01)
    for pid in processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    counts = [(len(processes), "processes"), (len(list(folder.rglob("*"))), "temporary files")]
    return ", ".join(f"{count} {what}" for count, what in counts if count)
