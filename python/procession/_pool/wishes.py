"""What the engine is told of a job beside a limit of time and tries: who hears of its outcomes, its priority, what it
holds, in which order.
"""

from collections import namedtuple

__all__ = ["Collector", "Wishes", "change", "of"]

# What `PoolCore.map` and its kin take. The first three are what `_checks.wishes` gives, a plain tuple, which is all
# that most calls have. `needs` are pairs of the number of a kind of resource and how many units of it each task holds,
# `order` the numbers of its chunks, in the order in which they are to go out.
Wishes = namedtuple(
    "Wishes", "limit tries retry_on collector priority needs order", defaults=(None, 0, None, None, 0, (), None)
)
# Who gets results as they come and may change failures, and whether the first failure by time counts: see `jobs.Job`.
Collector = namedtuple("Collector", "told failed by_time", defaults=(None, None, False))


def of(wishes):
    """Return wishes of either kind by their names."""
    return Wishes(*wishes or ())


def change(call, **wanted):
    """Have a call wish for more, by the names of `Wishes`."""
    call.wishes = of(call.wishes)._replace(**wanted)
