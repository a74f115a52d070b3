"""`order=` and `cost=`: which items of a map go out first."""

import operator

from procession._pool import wishes

__all__ = ["take"]


def take(call, value):
    """Have the items of a map go out by their cost, the most expensive first: then no long task begins when all else is
    done. Results stay where they belong.

    Raises:
        ValueError: it is no order, or the items are not all known.
        TypeError: there is no cost, or it gives no number.
    """
    if value is None:
        return
    if value != "longest":
        raise ValueError(f"order must be 'longest' or None, not {value!r}")
    cost = call.options.get("cost")
    if not callable(cost):
        raise TypeError(f"order='longest' needs cost=, a function that says how long an item takes, not {cost!r}")
    if call.order not in ("map", "starmap"):
        raise ValueError(f"{call.order}() takes items one after the other, so it has no order=: use map()")
    if not isinstance(call.items, list | tuple | range):
        call.items = list(call.items)
    is_star = call.order == "starmap"
    costs = [_number(cost(*item) if is_star else cost(item), item) for item in call.items]  # type: ignore[misc]
    size = call.chunk or 1
    sums = costs if size == 1 else [sum(costs[first : first + size]) for first in range(0, len(costs), size)]
    # Items of one cost stay in a row, which travels together.
    wishes.change(call, order=sorted(range(len(sums)), key=sums.__getitem__, reverse=True))


def _number(cost, item):
    try:
        number = float(operator.pos(cost))
    except (TypeError, ValueError):
        raise TypeError(f"cost must give a number, not {cost!r}, which it gave for {item!r}") from None
    if number != number:
        raise ValueError(f"cost gave nan for {item!r}: which place should that have?")
    return number
