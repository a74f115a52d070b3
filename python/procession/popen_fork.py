"""Start method fork: the child is a copy of the parent."""

import os
import sys
import threading

from procession import child, process
from procession.popen_base import PopenBase, signals_held

__all__ = ["Popen"]


class Popen(PopenBase):
    """A forked child."""

    method = "fork"

    def _launch(self, process_obj):
        parent_sentinel = process.own_pidfd()
        _warn_of_threads()
        with signals_held():
            pid = _fork()
            if pid == 0:
                child.run_forked(lambda: process_obj, parent_sentinel)
            self._adopt(process_obj, pid, self._watch(pid))


# Threads of the package itself, which hold no lock that a child could miss.
QUIET_THREADS = {"PoolDriver"}


def _warn_of_threads():
    """Warn with names where other threads may hold locks that the child needs."""
    others = [
        t.name for t in threading.enumerate() if t is not threading.current_thread() and t.name not in QUIET_THREADS
    ]
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
