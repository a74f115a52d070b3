"""The parent's hold of one child: its id, its sentinel, its exit status, signals for it."""

import _signal  # without the enums of `signal`
import os
import sys
from _thread import allocate_lock  # `threading` has work in each forked child, a third of what all else takes there

from procession import _standard, process, util
from procession._children import program
from procession._objects import main_module
from procession._procession import (
    Held,
    begin_life,
    collect_status,
    end_life,
    has_green_threads,
    has_pidfds,
    identity_of,
    open_pidfd,
    send_signal,
    signal_mask,
    wait_readable,
)

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


__all__: list[str] = []

UNKNOWN_STATUS = 255
SOMEBODY_ELSE = "something else in this program took its exit status"
# Without pidfds a child's end shows a moment before its status can be had; one that closes all descriptors lives on.
_STATUS_SECONDS = 0.2
_LOOK_SECONDS = 0.001


def mask_for(process_obj):
    """Return the signals that a child blocks, a bit each: those of the thread that starts it; workers block none."""
    return signal_mask() if process_obj._heeds_interrupts else 0


def _unknown(process_obj):
    """Return what is raised for a process of another library: `install` leaves classes as they are that it finds."""
    cls = type(process_obj)
    return RuntimeError(
        f"{process_obj!r} is no process of procession: its class {cls.__module__}.{cls.__qualname__} was made with the "
        "standard library's before procession.install(); call install() before all that imports multiprocessing"
    )


class PopenBase:
    """A started process; each start method says how it launches and how it learns the exit status."""

    method: str | None = None
    _launch: "Callable[[Any], None]"
    # Where there are no pidfds: the ends of a pipe that the child holds while it lives, and who that is.
    _life = None
    _identity = 0

    def __init__(self, process_obj):
        if not isinstance(process_obj, process.BaseProcess):
            raise _unknown(process_obj)
        if "coverage" in sys.modules:
            from procession import _around

            _around.look_for_coverage()
        if _standard.FROZEN:
            program.check_frozen()
        if _standard.kept or "multiprocessing.util" in sys.modules:
            _standard.ensure_end(util._exit_function)
        util._flush_std_streams()
        self.returncode = None
        self.unknown = None  # why the exit status is not known, where it is not
        self._held = None  # what closes the sentinel
        self.pid: Any = None
        self.sentinel: Any = None
        self._owner = os.getpid()
        self._collecting = allocate_lock()
        process.own_pidfd()  # which tells whether there are pidfds
        if has_pidfds():
            self._launch(process_obj)
        else:
            self._launch_without_pidfds(process_obj)

    def _launch_without_pidfds(self, process_obj):
        self._life = reader, writer = begin_life()
        try:
            self._launch(process_obj)
        finally:
            end_life(writer)
            if self.sentinel != reader:
                os.close(reader)

    def duplicate_for_child(self, fd):
        """Return the number that descriptor `fd` has in the child."""
        return fd

    def _look_at_variables(self, process_obj):
        """Have the child compare the variables that its target reads, and warn here of what needs no look there."""
        if process_obj._is_worker:  # whose pool does it, function by function
            return
        target = process_obj._target or type(process_obj).run
        if not main_module.may_read(target) or (self.method != "fork" and main_module.main_source() is None):
            return
        from procession._objects import reads, watch

        function, _ = reads.plain(target)
        if self.method == "fork" or not main_module.is_of_main(function) or main_module.importing.finds(function):
            process_obj._expected = watch.of_process(process_obj, self.method)
        # Else it travels by value, and its variables with it.

    def _adopt(self, process_obj, pid, sentinel):
        """Take hold of child `pid`, while signals are held; `sentinel` is closed with this object."""
        self.pid = pid
        self.sentinel = sentinel
        if self._life is not None:
            self._identity = identity_of(pid)
        self._held = Held(sentinel)
        process_obj._popen = self
        process._children.add(process_obj)
        if self.method == "spawn" and has_green_threads():
            from procession import _green

            _green.watch_child(pid)

    def _watch(self, pid):
        """Return a pidfd of a child that was just started, or what stands for one."""
        if self._life is not None:
            return self._life[0]
        try:
            return open_pidfd(pid)
        except ProcessLookupError:
            # The child has ended and, with SIGCHLD ignored or a foreign waitpid(-1), is gone without a trace.
            self.returncode, self.unknown = UNKNOWN_STATUS, SOMEBODY_ELSE
            sentinel, other = os.pipe()
            os.close(other)
            return sentinel

    def poll(self, flag=os.WNOHANG):
        """Return the exit status, or None while the process runs; flag 0 waits for it, os.WNOHANG does not."""
        return self.wait(None if flag == 0 else 0)

    def wait(self, timeout=None):
        """Wait for the end at most `timeout` seconds and return the exit status, or None."""
        if self.returncode is None and os.getpid() == self._owner:
            if not wait_readable([self.sentinel], timeout):
                return None  # as it was then, whatever another thread has learned meanwhile
            with self._collecting:  # the system gives the status only once
                if self.returncode is None:
                    self.returncode = self._collect() if self._life is None else self._collect_late(timeout)
        return self.returncode

    def _collect_late(self, timeout):
        """Return the exit status of a process whose pipe is closed; None while it runs all the same."""
        import time

        until = None if timeout is None else time.monotonic() + max(timeout, _STATUS_SECONDS)
        while (status := self._collect()) is None and (until is None or time.monotonic() < until):
            time.sleep(_LOOK_SECONDS)
        return status

    def _collect(self):
        """Return the exit status of the process, which has ended."""
        try:
            return collect_status(self.sentinel, self.pid, self._identity)
        except ChildProcessError:
            # Somebody's waitpid(-1), or an ignored SIGCHLD, took it.
            status = status_of_reaped(self.sentinel)
            if status is None and has_green_threads():
                from procession import _green

                status = _green.status_of(self.pid)
            self.unknown = SOMEBODY_ELSE if status is None else None
            return UNKNOWN_STATUS if status is None else status

    def _send_signal(self, number):
        if self.returncode is None:
            try:
                send_signal(self.sentinel, number, self.pid, self._identity)
            except ProcessLookupError:
                pass

    def interrupt(self):
        """Send SIGINT."""
        self._send_signal(_signal.SIGINT)

    def terminate(self):
        """Send SIGTERM."""
        self._send_signal(_signal.SIGTERM)

    def kill(self):
        """Send SIGKILL."""
        self._send_signal(_signal.SIGKILL)

    def close(self):
        """Release the descriptors."""
        if self._held is not None:
            self._held.close()


# ioctl(PIDFD_GET_INFO), Linux 6.15: the kernel still knows how a reaped process ended.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3


def status_of_reaped(pidfd):
    """Return the exit status of a process that somebody else has reaped, None where the kernel forgets it."""
    import fcntl
    import struct

    info = bytearray(64)
    struct.pack_into("Q", info, 0, _PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    (mask,) = struct.unpack_from("Q", info, 0)
    if not mask & _PIDFD_INFO_EXIT:
        return None
    (status,) = struct.unpack_from("i", info, 60)
    return os.waitstatus_to_exitcode(status)
