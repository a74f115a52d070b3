"""Start method fork: the child is a copy of the parent."""

import _signal
import os
import sys
from _thread import _count

from procession import _settings, process, util
from procession._children import child
from procession._children.popen import PopenBase, mask_for
from procession._objects import main_module
from procession._procession import SignalsHeld, do_all, fork_to, set_descriptor_limit, unknown_threads

__all__ = ["Popen"]

_WARNS = sys.version_info >= (3, 12)  # Python itself, of threads


class Popen(PopenBase):
    """A forked child."""

    method = "fork"
    beside = ()  # the names of other threads that ran
    place = None  # the file and the line of the warning about them
    snapshot = None  # what the child knows of `__main__`

    def _launch(self, process_obj):
        if process_obj._warns_of_threads and (_count() or unknown_threads(0)):
            from procession._children import fork_threads

            self.beside = fork_threads.others()
            if self.beside:
                self.place = _warn(self.beside)
        self._look_at_variables(process_obj)
        # Where the kernel reaps by itself, a quick child could be gone before its pidfd is open.
        gate = os.pipe() if _signal.getsignal(_signal.SIGCHLD) == _signal.SIG_IGN else ()
        self.snapshot = main_module.snapshot()
        try:
            chores: list = [(_pass_gate, gate)] if gate else []
            if process_obj._settings:
                chores += _settings._chores(process_obj._settings, process_obj._is_worker)
            raised = sys.modules.get("procession._children.descriptor_limits")
            if raised is not None and raised.usual() is not None:
                chores.append((set_descriptor_limit, (raised.usual(),)))
            fork = _fork_quietly if _WARNS else os.fork
            chores += util._stdin_chores()
            chores = child.chores_of_forked(process_obj, process.own_pidfd(), mask_for(process_obj), chores)
            with SignalsHeld():
                pid = fork_to(fork, child.run, process_obj, do_all, chores)
                self._adopt(process_obj, pid, self._watch(pid))
        finally:
            if gate:
                util.close_fds(*gate)


def _pass_gate(reader, writer):
    """Wait in the child until the parent has opened its pidfd, or has ended."""
    os.close(writer)
    os.read(reader, 1)
    os.close(reader)


def _warn(beside):
    from procession import _notices

    return _notices.tell(
        _notices.ForkBesideThreads,
        f"a process is forked while other threads run ({', '.join(beside)}): a lock that one of them holds "
        "stays locked in the child; the start methods forkserver and spawn are safe",
    )


def _fork_quietly():
    import warnings

    with warnings.catch_warnings():
        # Python's own warning counts all threads; ours has told of those that matter.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
