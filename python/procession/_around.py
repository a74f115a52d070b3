"""What tools put around the life of a child: coverage, profilers, tracers.

A factory of context managers is known here by itself and by its pickle, which travels with each process object and is
read once the child has the main module: then the child enters it, and its own children get it, too. What is around a
child begins before its function or its worker's loop, and ends after its exit functions.

Coverage asks for nothing: it has patched the standard library's processes, and that it did is seen here.
"""

import _signal  # without the enums of `signal`
import os
import sys

from procession import _standard

__all__ = []

# The mark of coverage on a package whose processes it has patched; the variables with its settings for others.
_COVERAGE_PATCHED = "_coverage$patched"
_COVERAGE_ASKED = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")

_factories: dict = {}  # each with its pickle
_heeds_termination = None  # the handler of SIGTERM that a tool has set in this child


def add(factory):
    """Have children live within what `factory` makes; see `process.around_child`."""
    import pickle

    if not callable(factory):
        raise TypeError(f"around_child needs a callable that returns a context manager, not {factory!r}")
    try:
        _factories[factory] = pickle.dumps(factory)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"around_child needs what children can import, a function or class of a module, not {factory!r}: {error}"
        ) from error
    return lambda: _factories.pop(factory, None) and None


def pickles():
    """Return what a child is told."""
    return list(_factories.values())


def adopt(given):
    """Know what the parent knows, in a child that has its main module."""
    from _pickle import loads

    _factories.clear()
    _factories.update((loads(data), data) for data in given)


def look_for_coverage():
    """Have coverage around children if it measures those of the standard library; `coverage` is loaded."""
    if coverage not in _factories and (_has_patched() or any(map(os.environ.get, _COVERAGE_ASKED))):
        add(coverage)


def _has_patched():
    packages = _standard.kept.get("multiprocessing"), *map(sys.modules.get, ("multiprocessing", "procession"))
    return any(hasattr(package, _COVERAGE_PATCHED) for package in packages)


def live(work, tell):
    """Call `work`, which raises nothing and returns an exit status, within all that is to be around it; return that
    status, or 1 where something around it fails, after `tell()` has told of the exception."""
    global _heeds_termination
    entered, status = [], 1
    before = _signal.getsignal(_signal.SIGTERM)
    try:
        for factory in list(_factories):
            manager = factory()
            type(manager).__enter__(manager)
            entered.append(manager)
        now = _signal.getsignal(_signal.SIGTERM)
        _heeds_termination = now if now != before and callable(now) else None
        result = work()
        status = result if isinstance(result, int) else 0  # of somebody's function around it
    except BaseException:
        tell()
    for manager in reversed(entered):
        try:
            type(manager).__exit__(manager, None, None, None)
        except BaseException:
            tell()
            status = status or 1
    return status


def heed_termination():
    """Have SIGTERM handled as the tools around this child handle it."""
    if _heeds_termination is not None:
        _signal.signal(_signal.SIGTERM, _heeds_termination)


class coverage:
    """Measures a child as coverage measures those of the standard library."""

    def __enter__(self):
        from coverage import Coverage, process_startup

        # A fresh interpreter does not know yet what was patched in its parent.
        if _has_patched() or not any(map(os.environ.get, _COVERAGE_ASKED)):
            self._measurement: Coverage | None = Coverage(data_suffix=True, auto_data=True)
            self._measurement._warn_preimported_source = False
            self._measurement.start()
        else:
            vars(process_startup).pop("coverage", None)  # that of the process which was copied
            self._measurement = process_startup()
        return self

    def __exit__(self, *error):
        if self._measurement is not None:
            self._measurement.stop()
            self._measurement.save()
