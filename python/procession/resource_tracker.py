"""Watches over resources that have a name and would outlive a killed process: named shared memory, semaphores.

A small process reads, from a pipe that this process and its children write, which names are in use. When the last
writer is gone it removes what is left, and says so.
"""

import os
import sys
import warnings
from _thread import RLock  # without `threading`

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["ensure_running", "register", "unregister"]

ENCODING = "utf-8", "surrogateescape"  # of names, in lines and for the system
_END_SECONDS = 5.0
_LONGEST = 512  # of a name with its kind; the longest line is twice that, which a pipe takes in one piece


def _unlink_shared_memory(name, prefix=""):
    name = name.removeprefix("/")
    if "/" in name:
        # A name with a slash has no shared memory, and must not lead to some other file.
        raise ValueError("a name with a slash in it")
    # The bytes that the system knows it by, whatever locale the tracker has.
    os.unlink(f"/dev/shm/{prefix}{name}".encode(*ENCODING))


def _nothing(name):
    raise RuntimeError("there is no such resource to clean up")


_CLEANUP_FUNCS = {
    "noop": _nothing,
    "semaphore": lambda name: _unlink_shared_memory(name, "sem."),
    "shared_memory": _unlink_shared_memory,
}


class ResourceTracker:
    """This process's end of the pipe.

    A line is `COMMAND:name:kind`. Names may hold colons; a line's end in one is written as a backslash and an n, and a
    backslash as two.
    """

    _use_simple_format = True  # there is no other; the interpreter's tests set it

    def __init__(self):
        self._lock = RLock()
        self._fd: Any = None
        self._pid: Any = None
        self._owner = None
        self._exitcode = None  # of the process, once it was stopped
        self._waitpid_timed_out = False  # whether it did not end in time, when it was stopped
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self):
        # The pipe serves the child too; whoever held the lock is not here, and the process is the parent's.
        self._lock = RLock()
        self._pid = None

    def getfd(self) -> int:
        """Return the writing end of the pipe."""
        self.ensure_running()
        return self._fd

    def ensure_running(self) -> None:
        """Start the tracking process unless it runs."""
        with self._lock:
            if self._fd is not None:
                if self._check_alive():
                    return
                os.close(self._fd)
                self._reap()
                self._fd = self._pid = None
                warnings.warn(
                    "resource_tracker: process died unexpectedly, relaunching. Some resources might leak.", stacklevel=4
                )
            self._launch()

    def _launch(self):
        from procession._children.program import TERMINATIONS, command_line, start_interpreter
        from procession._objects.descriptors import pipe

        reader, writer = pipe()
        try:
            self._pid = start_interpreter(command_line("resource_tracker", _READER, True), [reader], TERMINATIONS)
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        self._fd, self._owner = writer, os.getpid()
        # The tracker ends once no process of this family writes any more.

    def _reap(self):
        if self._owner == os.getpid() and self._pid is not None:
            try:
                self._exitcode = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            except ChildProcessError:
                pass

    def inherit(self, descriptor: int) -> None:
        """Use the tracker of the parent, whose pipe this process inherited."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._pid, self._owner = descriptor, None, None

    def _check_alive(self):
        try:
            self._write(b"PROBE:0:noop\n")
        except OSError:
            return False
        return True

    def register(self, name: str, rtype: str) -> None:
        """Have the resource removed when this family of processes has ended and nobody has removed it."""
        self._send("REGISTER", name, rtype)

    def unregister(self, name: str, rtype: str) -> None:
        """Forget a resource: somebody has removed it."""
        self._send("UNREGISTER", name, rtype)

    def _send(self, command, name, rtype):
        if "\n" in rtype or ":" in rtype:
            raise ValueError(f"{rtype!r} is no kind of resource")
        line = f"{command}:{name}:{rtype}".encode(*ENCODING)
        if len(line) >= _LONGEST:
            raise ValueError("msg too long: the name of a resource has at most 512 bytes together with its type")
        self.ensure_running()
        self._write(line.replace(b"\\", rb"\\").replace(b"\n", rb"\n") + b"\n")

    def _write(self, line):
        written = os.write(self._fd, line)
        if written != len(line):
            raise RuntimeError(f"only {written} of {len(line)} bytes reached the resource tracker")

    def _stop(self, wait_timeout=_END_SECONDS):
        """Let the process end, and wait for it: not for ever, as other processes may write, too."""
        with self._lock:
            if self._fd is None:
                self._exitcode = 0  # it was not needed, so nothing was left
                return
            os.close(self._fd)
            self._fd = None
            self._waitpid_timed_out = not self._ends_within(wait_timeout)
            if not self._waitpid_timed_out:
                self._reap()
            self._pid = None

    def _ends_within(self, seconds):
        from procession._procession import has_pidfds, open_pidfd, wait_readable

        if self._owner != os.getpid() or self._pid is None:
            return True
        if not has_pidfds():
            return self._is_reaped_within(seconds)
        try:
            watched = open_pidfd(self._pid)
        except ProcessLookupError:
            return True
        try:
            return bool(wait_readable([watched], seconds))
        finally:
            os.close(watched)

    def _is_reaped_within(self, seconds):
        import time

        until = None if seconds is None else time.monotonic() + seconds
        try:
            while not (ended := os.waitpid(self._pid, os.WNOHANG))[0]:
                if until is not None and time.monotonic() >= until:
                    return False
                time.sleep(0.001)
            self._exitcode = os.waitstatus_to_exitcode(ended[1])
        except ChildProcessError:
            pass
        self._pid = None
        return True


_resource_tracker = ResourceTracker()
ensure_running = _resource_tracker.ensure_running
register = _resource_tracker.register
unregister = _resource_tracker.unregister
getfd = _resource_tracker.getfd


# -- the process that tracks ----------------------------------------------------------------------------------------

_READER = 3  # its descriptor of the pipe


def main(fd: int, is_own: bool = False) -> None:
    """Track what is written to a pipe until its last writer is gone.

    Args:
        fd: the end of the pipe that is read.
        is_own: whether this process is there for nothing else, and ends then.
    """
    if not is_own:
        track(fd)
        return
    import signal

    # The tracker must outlive the processes that it watches over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for stream in (sys.stdin, sys.stdout):
        try:
            stream.close()
        except (AttributeError, OSError, ValueError):
            pass
    sys.exit(track(fd))


def track(fd: int) -> bool:
    """Follow the registrations on `fd` to its end, then remove what is left.

    Returns:
        Whether something was left, or a line was not understood: the exit status of this process.
    """
    faults = 0
    left = {}
    with open(fd, "rb") as pipe:
        # Longer lines are nobody's, and are not collected: what follows in them is told apart by the next line's end.
        while line := pipe.readline(2 * _LONGEST):
            try:
                _follow(line, left)
            except Exception as error:
                faults += 1
                _say(f"cannot follow {line!r}: {error!r}")
    for kind, names in left.items():
        if names:
            faults += 1
            _say(f"There appear to be {len(names)} leaked {kind} objects to clean up at shutdown: {names}")
        for name in sorted(names):
            try:
                remove = _CLEANUP_FUNCS.get(kind)
                if remove is None:
                    raise ValueError(f"nothing is known of how a resource of the kind {kind!r} is removed")
                remove(name)
            except Exception as error:
                _say(f"{name!r}: {error}")
    return faults > 0


def _follow(line, left):
    if not line.endswith(b"\n"):
        raise ValueError("a line without an end")
    # Names may hold colons, commands and kinds do not.
    command, rest = line[:-1].decode(*ENCODING).split(":", 1)
    name, kind = rest.rsplit(":", 1)
    name = "\\".join(part.replace("\\n", "\n") for part in name.split("\\\\"))
    if command == "REGISTER":
        left.setdefault(kind, set()).add(name)
    elif command == "UNREGISTER":
        left[kind].remove(name)
    elif command != "PROBE":
        raise ValueError("unknown command")


def _say(text):
    try:
        print(f"resource_tracker: {text}", file=sys.stderr, flush=True)
    except (AttributeError, OSError, ValueError):
        pass
