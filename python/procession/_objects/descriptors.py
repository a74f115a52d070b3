"""Descriptors on their way to another process: within a pickle, and as messages of pairs of sockets.

The sockets are those of `_socket`, without what `socket` loads.
"""

import _socket
import os
from struct import calcsize, pack, unpack

from procession import process
from procession._procession import above_streams

__all__ = ["DupFd", "adopt", "pair", "receive", "recvfds", "send", "sendfds"]

NUMBER = calcsize("i")  # bytes of a descriptor's
_ANSWER = b"A"  # some byte must travel with descriptors

# -- messages -------------------------------------------------------------------------------------------------------


def pipe():
    """Return the two ends of a pipe."""
    reader, writer = os.pipe()
    return above_streams(reader), above_streams(writer)


def pair():
    """Return two connected sockets that keep messages apart and wait without a limit."""
    ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    ends = [end if end.fileno() > 2 else _socket.socket(fileno=above_streams(end.detach())) for end in ends]
    for end in ends:
        end.setblocking(True)  # whatever the default timeout is
    return ends


def adopt(descriptor):
    """Return the socket behind a descriptor, which it owns from now on."""
    end = _socket.socket(fileno=descriptor)
    end.setblocking(True)
    return end


def send(end, message, descriptors):
    """Send a message with copies of descriptors."""
    rights = _socket.SOL_SOCKET, _socket.SCM_RIGHTS, pack(f"{len(descriptors)}i", *descriptors)
    end.sendmsg([message], [rights] if descriptors else [])


def receive(end, size, most):
    """Receive a message of at most `size` bytes with at most `most` descriptors; return it and them."""
    return receive_all(end, size, _socket.CMSG_LEN(most * NUMBER))[:2]


def receive_all(end, size, room):
    """Receive a message with descriptors that have so many bytes of room; return it, them and the flags."""
    message, rights, flags, _ = end.recvmsg(size, room)
    descriptors = []
    for level, kind, numbers in rights:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            count = len(numbers) // NUMBER
            descriptors += map(above_streams, unpack(f"{count}i", numbers[: count * NUMBER]))
    return message, descriptors, flags


# -- within a pickle ------------------------------------------------------------------------------------------------


class InheritedFd:
    """A descriptor that the child being started finds at a known number."""

    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        """Return the descriptor, now the caller's."""
        return self.fd


def DupFd(fd):
    """Return a picklable stand-in for a copy of `fd`; `detach()` gives the descriptor where it is unpickled."""
    popen = process.get_spawning_popen()
    if popen is not None:
        return InheritedFd(popen.duplicate_for_child(fd))
    from procession import resource_sharer

    return resource_sharer.DupFd(fd)


# -- one by one, as the standard module does -----------------------------------------------------------------------


def sendfds(sock, fds):
    """Send descriptors over a unix socket."""
    import array
    import socket

    numbers = array.array("i", fds)
    sock.sendmsg([bytes([len(numbers) % 256])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
    if sock.recv(1) != _ANSWER:
        raise RuntimeError("did not receive acknowledgement of fd")


def recvfds(sock, size):
    """Receive `size` descriptors from a unix socket."""
    import socket

    message, fds, flags = receive_all(sock, 1, socket.CMSG_LEN(size * NUMBER))
    if not message and not fds:
        raise EOFError
    try:
        sock.send(_ANSWER)
        if len(fds) != size or message[0] != size % 256 or flags & socket.MSG_CTRUNC:
            raise RuntimeError(f"received {len(fds)} descriptors instead of {size}")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return list(fds)
