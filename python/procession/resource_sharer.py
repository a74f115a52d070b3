"""Descriptors for processes that run already: a background thread hands out copies, once each, to who shows the key.

Only what is pickled outside `Process.start` comes this way; a child that is being started inherits its descriptors.
"""

import os
import signal
import sys
import threading

from procession import process, util
from procession._procession import duplicate_above, for_one_receiver

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["DupFd", "stop"]


# How long a process that has shown the key may take to say what it wants, and to take it.
_LIMIT_SECONDS = 10.0


class DupFd:
    """A picklable stand-in for a copy of a descriptor of this process."""

    def __init__(self, fd):
        for_one_receiver()
        self._id = _resource_sharer.register(duplicate_above(fd, 0))

    def detach(self) -> int:
        """Return the descriptor in the process that unpickled this; it can be had once."""
        from procession import reduction

        with _resource_sharer.get_connection(self._id) as conn:
            return reduction.recv_handle(conn)


class _ResourceSharer:
    """Keeps descriptors until they are fetched."""

    def __init__(self):
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self):
        # A child has its own thread, listener and descriptors; those it was forked with are its parent's.
        self._lock = threading.Lock()
        self._cache: dict[int, int] = {}
        self._next = 0
        self._stopping = False
        self._listener: Any = None
        self._address: Any = None
        self._thread: Any = None

    def register(self, fd):
        """Keep `fd` until it is fetched; return what identifies it."""
        with self._lock:
            if self._address is None:
                self._start()
            self._next += 1
            self._cache[self._next] = fd
            return self._address, self._next

    @staticmethod
    def get_connection(identity):
        """Connect to the process that keeps a descriptor."""
        from procession.connection import Client

        address, key = identity
        conn = Client(address, authkey=process.current_process().authkey)
        conn.send((key, os.getpid()))
        return conn

    def _start(self):
        from procession.connection import Listener

        self._listener = Listener(authkey=process.current_process().authkey, backlog=128)
        self._address = self._listener.address
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, args=(self._listener,), name="resource sharer", daemon=True)
        # Signals are for the threads of the program.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        util.Finalize(None, self.stop, exitpriority=-50)

    def _serve(self, listener):
        while not self._stopping:
            try:
                conn = listener.accept()
            except Exception as error:
                util.info("resource sharer: refused a client: %s", error)
                continue
            # One that is stopped half-way keeps nobody else waiting.
            threading.Thread(target=self._hand_out, args=(conn,), name="resource sharer", daemon=True).start()

    def _hand_out(self, conn):
        from procession import reduction

        try:
            with conn:
                if not conn.poll(_LIMIT_SECONDS):
                    raise TimeoutError("a process that connected to fetch a descriptor does not say which")
                key, pid = conn.recv()
                fd = self._cache.pop(key)
                try:
                    reduction.send_handle(conn, fd, pid, timeout=_LIMIT_SECONDS)
                finally:
                    os.close(fd)
        except Exception:
            if not util.is_exiting():
                sys.excepthook(*sys.exc_info())

    def stop(self, timeout=None):
        """End the thread and close what nobody fetched."""
        import socket

        with self._lock:
            if self._address is None:
                return
            self._stopping = True
            with socket.socket(fileno=os.dup(self._listener._listener.fileno())) as listening:
                listening.shutdown(socket.SHUT_RDWR)  # ends the wait for clients
            self._thread.join(timeout)
            self._listener.close()
            for fd in self._cache.values():
                os.close(fd)
            self._cache.clear()
            self._listener = self._address = self._thread = None


_resource_sharer = _ResourceSharer()
stop = _resource_sharer.stop
