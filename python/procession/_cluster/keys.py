"""The key of what a program serves to the nodes: another for each program, in the memory of its processes alone."""

import os

__all__ = ["Key", "adopt", "own"]

_own: "tuple[int, Key | None]" = (0, None)  # of which process


class Key:
    """A key on its way to the nodes; whatever shows the arguments of calls does not show it.

    Args:
        value: the bytes.
    """

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return "<a key>"

    def __reduce__(self):
        return Key, (self.value,)


def own():
    """Return the key of this program, made once; that of the program it works for, in a process on a node."""
    global _own
    if _own[0] != os.getpid():
        _own = os.getpid(), Key(os.urandom(32))
    return _own[1]


def adopt(key):
    """Have this process, and those that it starts, know a key."""
    global _own
    from procession import process

    _own = os.getpid(), key
    process.current_process().authkey = key.value
