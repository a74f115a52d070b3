"""A function for workers that have no numpy."""

import sys

sys.modules["numpy"] = None


def halves(view):
    """Write to the memoryview, and return what it is and a part of it."""
    kind = (type(view).__name__, view.format, view.shape, view.readonly)
    view[0, 0] = 2.5
    return kind, view
