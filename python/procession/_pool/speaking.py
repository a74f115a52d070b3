"""In a worker: what tasks print while a bar is drawn goes to their parent, which writes it above the bar.

The parent has a pipe for each of standard output and error, which is opened here by its name below /proc; where that
cannot be, all stays as it is. Unlike with `output` nothing is marked, and nothing is there before there is a bar.
"""

import contextlib
import os
import sys

__all__ = ["hush", "speak"]

# What was asked for, and for each descriptor that is replaced the pipe and what was there before.
_asked: tuple | None = None
_replaced: dict[int, tuple[int, int]] = {}


def speak(pid, out, err):
    """Put the pipes in place.

    Args:
        pid: the process that reads.
        out, err: the numbers that the pipes for standard output and error have there; 0 for none.
    """
    global _asked
    if _asked != (pid, out, err):
        _forget()
        _asked = pid, out, err
        for number, pipe in ((1, out), (2, err)):
            if pipe:
                with contextlib.suppress(OSError):
                    _replaced[number] = _open(pid, pipe), os.dup(number)
    _flush()
    for number, (pipe, _) in _replaced.items():
        os.dup2(pipe, number)


def hush():
    """Take the pipes out again, with all that was written in them."""
    _flush()
    for number, (_, before) in _replaced.items():
        os.dup2(before, number)


def _open(pid, pipe):
    return os.open(f"/proc/{pid}/fd/{pipe}", os.O_WRONLY | os.O_CLOEXEC)


def _flush():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _forget():
    for both in _replaced.values():
        for descriptor in both:
            os.close(descriptor)
    _replaced.clear()
