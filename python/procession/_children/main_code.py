"""The main module, compiled once for all spawned children: each would compile it anew, since no cache has it."""

import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER

__all__ = ["for_child", "of_parent"]

# Code from an interpreter with another one is of no use.
_KIND = (MAGIC_NUMBER, sys.flags.optimize)

_known: tuple = (None, None, None)  # a file, what told its state, and what children get


def for_child(path):
    """Return the compiled code of a file for `of_parent`; None when the child is to compile it.

    That is so for the first child, which is often the only one.
    """
    global _known
    try:
        with open(path, "rb") as file:
            state = _state(os.fstat(file.fileno()))
            if _known[:2] != (path, state):
                _known = path, state, None
                return None
            if _known[2] is None:
                code = compile(file.read(), path, "exec", dont_inherit=True)
                _known = path, state, (_KIND, marshal.dumps(code))
    except Exception:  # which the child will tell
        return None
    return _known[2]


def of_parent(sent):
    """Return the code behind what `for_child` returned in the parent; None when it has to be compiled here."""
    if sent is None or sent[0] != _KIND:
        return None
    return marshal.loads(sent[1])


def _state(status):
    return status.st_mtime_ns, status.st_size, status.st_ino
