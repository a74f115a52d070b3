"""Descriptors on their way to another process, within a pickle or one by one; `rights.py` has how they travel."""

import os
import sys

from procession import process
from procession._procession import above_streams

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from procession._typed.protocols import Detaching

__all__ = ["DupFd", "pipe", "recvfds", "sendfds"]

_ANSWER = b"A"
# The standard library of this version, which may be the other side, sends an answer and waits for it.
_ANSWERS = sys.version_info >= (3, 14)


def pipe() -> tuple[int, int]:
    """Return the two ends of a pipe."""
    reader, writer = os.pipe()
    return above_streams(reader), above_streams(writer)


class InheritedFd:
    """A descriptor that the child being started finds at a known number."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def detach(self) -> int:
        """Return the descriptor, now the caller's."""
        return self.fd


def DupFd(fd: int) -> "Detaching":
    """Return a picklable stand-in for a copy of `fd`; `detach()` gives the descriptor where it is unpickled."""
    popen = process.get_spawning_popen()
    if popen is not None:
        return InheritedFd(popen.duplicate_for_child(fd))
    from procession import resource_sharer

    return resource_sharer.DupFd(fd)


# -- one by one, as the standard module does -----------------------------------------------------------------------


def sendfds(sock: "socket.socket", fds: "Iterable[int]") -> None:
    """Send descriptors over a unix socket; from Python 3.14 on it waits until they are taken."""
    import array
    import socket

    numbers = array.array("i", fds)
    sock.sendmsg([bytes([len(numbers) % 256])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
    if _ANSWERS and sock.recv(1) != _ANSWER:
        raise RuntimeError("did not receive acknowledgement of fd")


def recvfds(sock: "socket.socket", size: int) -> list[int]:
    """Receive `size` descriptors from a unix socket."""
    import socket

    from procession._objects.rights import NUMBER, receive_all

    message, fds, flags = receive_all(sock, 1, socket.CMSG_LEN(size * NUMBER))
    if not message and not fds:
        raise EOFError
    try:
        if _ANSWERS:
            sock.send(_ANSWER)
        if len(fds) != size or message[0] != size % 256 or flags & socket.MSG_CTRUNC:
            raise RuntimeError(f"received {len(fds)} descriptors instead of {size}")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return list(fds)
