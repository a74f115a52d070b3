"""What the engine is told of a job beside a limit of time and tries: its priority, what it holds, in which order."""

__all__ = ["add"]


def add(call, *, priority=None, needs=None, order=None):
    """Have a call wish for more: see `PoolCore.map` and its kin, which take the seven of them.

    Args:
        priority: how urgent it is, from -100 to 100.
        needs: pairs of the number of a kind of resource and how many units of it each task holds.
        order: the numbers of its chunks, in the order in which they are to go out.
    """
    limit, tries, retry_on, *rest = call.wishes or (None, 0, None)
    collector, *rest = rest or (None,)
    before = rest or (0, (), None)
    given = (priority, needs, order)
    changed = (old if new is None else new for old, new in zip(before, given, strict=True))
    call.wishes = limit, tries, retry_on, collector, *changed
