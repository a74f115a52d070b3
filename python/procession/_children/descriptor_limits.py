"""More descriptors than usual, for as long as pools need them.

The usual limit is there for programs that wait with `select`, which knows no number above 1023: children get that one,
and so does this process when no pool needs more.
"""

import os
from _thread import allocate_lock

from procession._procession import descriptor_limits, set_descriptor_limit

__all__ = ["Room", "usual"]

LEAST = 64  # that a child can do with, whatever is usual

_lock = allocate_lock()
_rooms: set = set()
# The limit of this program while another one holds, and that one.
_usual: int | None = None
_raised = 0


class Room:
    """Lets this process have at least `need` descriptors, as far as it may allow itself that many, until `close`."""

    def __init__(self, need):
        global _usual, _raised
        self._process = os.getpid()
        with _lock:
            soft, hard = descriptor_limits()
            if min(need, hard) > soft:
                set_descriptor_limit(min(need, hard))
                _usual, _raised = soft if _usual is None else _usual, min(need, hard)
            _rooms.add(self)

    def close(self):
        """Need them no longer."""
        global _usual, _raised
        if self._process != os.getpid():
            return  # it is the parent's
        with _lock:
            _rooms.discard(self)
            if _rooms or _usual is None:
                return
            if descriptor_limits()[0] == _raised:  # the program has not set another one meanwhile
                set_descriptor_limit(_usual)
            _usual, _raised = None, 0


def usual():
    """Return the limit for children, None where it is that of this process."""
    return None if _usual is None else min(max(_usual, LEAST), _raised)
