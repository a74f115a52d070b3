"""Start method forkserver: the child is forked from a server that has imported the main module."""

import errno
import os

from procession._children.popen import SOMEBODY_ELSE, UNKNOWN_STATUS
from procession._children.popen_spawn import PicklingPopen
from procession._procession import SignalsHeld, wait_readable

__all__ = ["Popen"]

_END_SECONDS = 2.0
_STATUS_SECONDS = 5.0  # how long the server may take to tell the status of a child that has ended


class Popen(PicklingPopen):
    """A child of the forkserver."""

    method = "forkserver"

    def _launch(self, process_obj):
        from procession.forkserver import ServerDied, _forkserver

        for last in (False, True):
            _forkserver.ensure_running()
            try:
                return self._start(process_obj, _forkserver)
            except ServerDied:
                # Its sockets are closed a moment before its end shows.
                if not _forkserver.has_ended(_END_SECONDS):
                    raise OSError(errno.EMFILE, "the forkserver has no descriptor left for another process") from None
                if last:
                    raise RuntimeError("the forkserver died twice while it started a process") from None

    def _start(self, process_obj, server):
        from procession.forkserver import answer, kill_unknown

        self._server = server
        descriptors, memory, requester = [], None, None
        self._entry = server.entry()
        try:
            memory = self._pickle(process_obj, descriptors, server.first_number)
            requester = server.start(memory, descriptors, self._mask, self._entry)
            wait_readable([requester.fileno()], None)
            with SignalsHeld():
                pid, pidfd = answer(requester)
                self._adopt(process_obj, pid, pidfd if self._life is None else self._life[0])
        except BaseException:
            if self.pid is None:
                if requester is not None:  # Ctrl-C, and the child is on its way
                    kill_unknown(requester)
                self._entry.give_up(is_asked=requester is not None)
            raise
        finally:
            if requester is not None:
                requester.close()
            for descriptor in descriptors if memory is None else [memory, *descriptors]:
                os.close(descriptor)

    def _preparation_data(self, process_obj):
        data = super()._preparation_data(process_obj)
        environment = dict(os.environ)
        if environment != self._server.environment:
            data["environment"] = environment
        return data

    def _collect(self):
        from procession.forkserver import UNTOLD, ServerDied

        # The server was told of the end at the same moment as this process.
        try:
            status = self._entry.status(_STATUS_SECONDS if self._life is None else 0)
        except ServerDied:
            self.unknown = "the forkserver ended, too"
            return UNKNOWN_STATUS
        if status == UNTOLD:
            self.unknown = SOMEBODY_ELSE
            return UNKNOWN_STATUS
        if status is None and self._life is None:
            self._entry.give_up(is_asked=True)
            self.unknown = "the forkserver does not tell"
            return UNKNOWN_STATUS
        return status  # None of a child that has closed its pipe, and runs
