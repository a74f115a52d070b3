"""Pairs of sockets for messages with descriptors, without what `socket` loads."""

import _socket
from struct import calcsize, pack, unpack

from procession._procession import above_streams

__all__ = ["adopt", "pair", "receive", "receive_all", "send"]

NUMBER = calcsize("i")  # bytes of a descriptor's


def pair():
    """Return two connected sockets that keep messages apart and wait without a limit."""
    made = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    ends = [end if end.fileno() > 2 else _socket.socket(fileno=above_streams(end.detach())) for end in made]
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
