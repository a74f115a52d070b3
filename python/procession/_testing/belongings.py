"""What this process has: children, descriptors, threads; not the helpers that live as long as it does."""

import contextlib
import os
import sys
import threading

TYPE_CHECKING = False  # checkers take it for true
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Belongings", "command_of", "doing", "state_of"]

# The modules that have helpers, of this library and of the standard one, the object in each, and its descriptors.
_HELPERS = (
    ("forkserver", "_forkserver", "_forkserver_pid", ("_control", "_statuses", "_sentinel")),
    ("forkserver", "_forkserver", "_forkserver_pid", ("_forkserver_alive_fd",)),
    ("resource_tracker", "_resource_tracker", "_pid", ("_fd",)),
)


class Belongings:
    """What this process has at one moment.

    Attributes:
        children: pairs of process id and the time that it began in ticks of the clock, which are of one process alone.
        descriptors: what each descriptor leads to, by its number.
        threads: those that `threading` knows.
    """

    def __init__(self) -> None:
        pids, kept = _helpers()
        # One that began and was reaped meanwhile has no state.
        found = ((pid, state_of(pid)) for pid in _children() if pid not in pids)
        self.children = {(pid, state[1]) for pid, state in found if state}
        self.descriptors: dict[int, str] = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except OSError:  # that of the folder itself, or another thread has closed it
                continue
            if int(name) not in kept:
                self.descriptors[int(name)] = target
        self.threads = set(threading.enumerate())


def _stat_of(pid: int) -> "list[bytes] | None":
    """Return what proc(5) says of a process, from its state on; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # Its name may hold anything, and ends with the last bracket.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def state_of(pid: int) -> "tuple[str, str] | None":
    """Return the state of a process, a letter of proc(5), and when it began; None if there is none."""
    fields = _stat_of(pid)
    return None if fields is None else (fields[0].decode(), fields[19].decode())


def doing(pid: int) -> str:
    """Return in words what a process does: its main thread's state, the place in the kernel where it sleeps if that may
    be known, and the CPU time that it has had."""
    fields, place = _stat_of(pid), ""
    if fields is None:
        return "has just ended"
    with contextlib.suppress(OSError), open(f"/proc/{pid}/wchan", "rb") as file:
        place = file.read().decode(errors="replace").strip("0\n\0")
    words = {b"R": "runs", b"S": "sleeps", b"D": "waits for a device", b"T": "is stopped", b"t": "is traced"}
    used = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return words.get(fields[0], "ends") + (f" in {place}" if place else "") + f", after {used:.2f} s of CPU time"


def command_of(pid: int) -> str:
    """Return the command line of a process as text, which is empty for a zombie."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _children() -> "list[int]":
    """Return the ids of the processes that this one is the parent of."""
    found: list[int] = []
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as file:
                found += map(int, file.read().split())
        except OSError:
            if os.path.exists(f"/proc/self/task/{thread}"):  # a kernel without such files
                return _children_of_all()
    return found


def _children_of_all() -> "list[int]":
    parent, found = str(os.getpid()).encode(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[1] == parent:
                found.append(int(name))
    return found


def _helpers() -> "tuple[set[int], set[int]]":
    """Return the ids of helpers, and the descriptors that this process has for them and for itself."""
    pids, kept = set(), set()
    for module, name, pid, descriptors in _HELPERS:
        for library in ("procession", "multiprocessing"):
            helper = getattr(sys.modules.get(f"{library}.{module}"), name, None)
            pids.add(getattr(helper, pid, None))
            kept.update(_number(getattr(helper, descriptor, None)) for descriptor in descriptors)
    own = getattr(sys.modules.get("procession.process"), "_own_pidfd", (None, None))
    return pids - {None}, (kept | {own[1]}) - {None}  # type: ignore[return-value]


def _number(value: "Any") -> "int | None":
    if value is None or isinstance(value, int):
        return value
    try:
        return int(value.fileno())
    except (OSError, ValueError):  # it is closed
        return None
