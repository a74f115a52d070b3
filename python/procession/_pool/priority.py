"""`priority=`: how urgent a call is, among those that wait for the same workers."""

from procession import _checks
from procession._pool import wishes

__all__ = ["check", "take"]

# Beyond it a job could wait for longer than anybody looks: it gains one level for each second.
LEVELS = 100


def check(value):
    """Raise TypeError or ValueError for what is no priority."""
    if not -LEVELS <= _checks.whole(value, "priority") <= LEVELS:
        raise ValueError(f"priority must be from -{LEVELS} to {LEVELS}, not {value}: the higher goes first, 0 is usual")


def take(call, value):
    """Have the tasks of a call go before those that are less urgent."""
    check(value)
    wishes.change(call, priority=int(value))
