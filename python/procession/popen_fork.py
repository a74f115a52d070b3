"""Start method fork: the child is a copy of the parent."""

import _signal
import os
import sys
import threading

from procession import child, process, settings, util
from procession._procession import SignalsHeld
from procession.popen_base import PopenBase

__all__ = ["Popen"]


class Popen(PopenBase):
    """A forked child."""

    method = "fork"

    def _launch(self, process_obj):
        parent_sentinel = process.own_pidfd()
        util._prepare_stdin()
        if process_obj._warns_of_threads:
            _warn_of_threads()
        # Where the kernel reaps by itself, a quick child could be gone before its pidfd is open.
        gate = os.pipe() if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN else None
        try:
            with SignalsHeld():
                pid = _fork()
                if pid == 0:
                    child.run_forked(lambda: _pass(gate, process_obj), parent_sentinel)
                self._adopt(process_obj, pid, self._watch(pid))
        finally:
            if gate is not None:
                util.close_fds(*gate)


def _pass(gate, process_obj):
    """Wait in the child until the parent has opened its pidfd, or has ended; return the process object, set up."""
    if gate is not None:
        reader, writer = gate
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
    if process_obj._settings:
        settings.apply(process_obj._settings)
    return process_obj


# Threads of the package itself, which hold no lock that a child could miss.
QUIET_THREADS = {"PoolDriver", "PoolOutput"}


def _warn_of_threads():
    """Warn with names where other threads may hold locks that the child needs; a main thread is no news."""
    expected = (threading.current_thread(), threading.main_thread())
    others = [t.name for t in threading.enumerate() if t not in expected and t.name not in QUIET_THREADS]
    if others:
        import warnings

        warnings.warn(
            f"a process is forked while other threads run ({', '.join(others)}): a lock that one of them holds "
            "stays locked in the child; the start methods forkserver and spawn are safe",
            DeprecationWarning,
            stacklevel=5,
        )


def _fork():
    if sys.version_info < (3, 12):
        return os.fork()
    import warnings

    with warnings.catch_warnings():
        # Python's own warning counts the lifeline's thread, which is harmless.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
