"""`cost=` of a map: what `order=` goes by."""

__all__ = ["take"]


def take(call, value):
    """Raise TypeError for a cost that nothing goes by."""
    if value is not None and call.options.get("order") is None:
        raise TypeError("cost= is what order='longest' goes by: give both")
