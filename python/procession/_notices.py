"""What this package warns of: a class for each kind, so that filters can tell them apart, and how each is told once."""

import os
import sys
import warnings

__all__ = ["ForkBesideThreads", "ProcessionWarning", "SameRandomNumbers", "StaleVariable", "StuckAfterFork"]


class ProcessionWarning(UserWarning):
    """The base of all warnings of this package: something will not be as the program means it."""


class StaleVariable(ProcessionWarning):
    """A function reads a global variable that the program has changed after the import which its workers repeat."""


class SameRandomNumbers(ProcessionWarning):
    """A function draws from a random generator of which all workers have the same copy."""


class ForkBesideThreads(ProcessionWarning, DeprecationWarning):
    """A process is forked while other threads run: what they hold stays held in the child."""


class StuckAfterFork(ProcessionWarning, RuntimeWarning):
    """A worker that was forked beside other threads does nothing, and its first task does not end."""


# Where programs find them; so filters and tracebacks name them, too.
for _name in __all__:
    globals()[_name].__module__ = "procession"

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_told: set = set()


def tell(category, text):
    """Warn as the line of the program that called this package; return its file and number."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back
    names = frame.f_globals
    registry = names.setdefault("__warningregistry__", {})
    place = frame.f_code.co_filename, frame.f_lineno
    # The loader of a program that `python -m` runs knows it by another name, and refuses this one.
    source = None if names.get("__name__") == "__main__" else names
    warnings.warn_explicit(text, category, *place, names.get("__name__"), registry, source)
    return place


def tell_once(category, text, filename, lineno):
    """Warn of a function that stands in a file, for each kind of warning once, from a thread that must not raise."""
    if (category, filename, lineno) in _told:
        return
    _told.add((category, filename, lineno))
    try:
        warnings.warn_explicit(text, category, filename, lineno)
    except Warning:
        # A filter that makes it an error has no place to raise it: it belongs to no call here.
        warnings.showwarning(category(text), category, filename, lineno)
