"""Start method fork: the child is a copy of the parent."""

import os

from procession import child, process
from procession.popen_base import PopenBase

__all__ = ["Popen"]


class Popen(PopenBase):
    """A forked child."""

    method = "fork"

    def _launch(self, process_obj):
        parent_sentinel = process.own_pidfd()
        pid = _fork()
        if pid == 0:
            child.run_forked(lambda: process_obj, parent_sentinel)
        self._adopt(pid, self._watch(pid))


# Threads of the package itself, which hold no lock that a child could miss.
QUIET_THREADS = {"PoolDriver"}


def _fork():
    """Fork, and warn with names where other threads may hold locks that the child needs."""
    import threading
    import warnings

    others = [
        t.name for t in threading.enumerate() if t is not threading.current_thread() and t.name not in QUIET_THREADS
    ]
    if others:
        warnings.warn(
            f"a process is forked while other threads run ({', '.join(others)}): a lock that one of them holds "
            "stays locked in the child; the start methods forkserver and spawn are safe",
            DeprecationWarning,
            stacklevel=5,
        )
    with warnings.catch_warnings():
        # Python's own warning counts the lifeline's thread, which is harmless.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
