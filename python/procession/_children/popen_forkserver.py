"""Start method forkserver: the child is forked from a server that has imported the main module."""

import errno
import os
import struct

from procession._children.popen import UNKNOWN_STATUS
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
        descriptors, memory = [], None
        try:
            memory = self._pickle(process_obj, descriptors, server.first_number)
            self._status = server.start(memory, descriptors, self._mask)
            try:
                wait_readable([self._status.fileno()], None)
                with SignalsHeld():
                    pid, pidfd = answer(self._status)
                    self._adopt(process_obj, pid, pidfd if self._life is None else self._life[0])
            except BaseException:
                if self.pid is None:  # Ctrl-C, and the child is on its way
                    kill_unknown(self._status)
                    self._status.close()
                raise
        finally:
            for descriptor in descriptors if memory is None else [memory, *descriptors]:
                os.close(descriptor)

    def _preparation_data(self, process_obj):
        data = super()._preparation_data(process_obj)
        environment = dict(os.environ)
        if environment != self._server.environment:
            data["environment"] = environment
        return data

    def _collect(self):
        # The server was told of the end at the same moment as this process.
        limit = _STATUS_SECONDS if self._life is None else 0
        try:
            if wait_readable([self._status.fileno()], limit):
                status = self._status.recv(4)
            elif self._life is not None:
                return None  # it has closed the pipe, and runs
            else:
                status = b""
        except OSError:
            status = b""
        self._status.close()
        if len(status) == 4:
            return struct.unpack("i", status)[0]
        self.unknown = "the forkserver ended, too"
        return UNKNOWN_STATUS

    def close(self):
        self._status.close()
        super().close()

    def __del__(self):
        # Where it is not closed this is a copy in another process, and a socket would warn.
        status = getattr(self, "_status", None)
        if status is not None:
            status.close()
