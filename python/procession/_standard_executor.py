"""Our executor under the name of the standard one, `concurrent.futures.ProcessPoolExecutor`, in replaced programs."""

import contextlib
import gc
import sys

_HOLDERS = ("concurrent.futures.process", "concurrent.futures")  # of the class itself
_NAME = "ProcessPoolExecutor"

_ours = _theirs = None


def stand_in(ours):
    """Have an executor of ours be what the standard modules call `ProcessPoolExecutor`.

    A second call does nothing, nor does one before there are these modules: when they have been imported comes another.
    """
    global _ours, _theirs
    if _NAME not in vars(sys.modules.get(_HOLDERS[0], sys)):
        return
    if _theirs is None:
        _ours, _theirs = ours, vars(sys.modules[_HOLDERS[0]])[_NAME]
    _hold(ours)


def _hold(executor):
    for holder in _HOLDERS:
        module = sys.modules.get(holder)
        if module is not None and (holder == _HOLDERS[0] or _NAME in vars(module)):
            setattr(module, _NAME, executor)


@contextlib.contextmanager
def kept():
    """Give the standard class its name back while the block runs, which imports a library that keeps it."""
    if _theirs is None:
        yield
        return
    _hold(_theirs)
    try:
        yield
    finally:
        _hold(_ours)


def replacements(keeps):
    """Have the subclasses that there are inherit from our executor.

    Args:
        keeps: says of a module's name whether that keeps the standard class.

    Returns:
        The standard class and ours in its place, and the modules in which the name has to stay: they have objects of a
        subclass, whose class cannot be changed any more.
    """
    if _theirs is None:
        return {}, set()
    staying = set()
    for subclass in _theirs.__subclasses__():
        if keeps(subclass.__module__):
            continue
        if _has_objects(subclass):
            staying.add(subclass.__module__)
            continue
        bases = tuple(_ours if base is _theirs else base for base in subclass.__bases__)
        subclass.__bases__ = bases
    return {id(_theirs): _ours}, staying


def _has_objects(cls):
    refer = gc.get_referrers(cls)
    return any(type(obj) is cls for obj in refer) or any(map(_has_objects, cls.__subclasses__()))
