"""What is to be done once `logging` is loaded: loading it takes longer than all else that a worker needs.

In each child its records are to name the running process: by itself `logging` asks the standard library, which may not
be loaded.
"""

import sys

from procession import process

__all__ = ["name_chores", "once_loaded"]


def once_loaded(action):
    """Call `action(logging)`: now, where `logging` is loaded, or else as soon as it is; each action once."""
    for do, arguments in chores_once_loaded(action):
        do(*arguments)


def chores_once_loaded(action):
    """Return the calls, as function and arguments, that do what `once_loaded` does; for another process, too."""
    logging = sys.modules.get("logging")
    if logging is not None and not _is_loading(logging):
        return [(action, (logging,))]
    for finder in sys.meta_path:
        if isinstance(finder, _LoggingFinder):
            return [] if action in finder.actions else [(finder.actions.append, (action,))]
    return [(sys.meta_path.insert, (0, _LoggingFinder([action])))]


def _is_loading(module):
    return getattr(getattr(module, "__spec__", None), "_initializing", False)


class _LoggingFinder:
    """Waits for the import of `logging`, and has it executed by a `_Loader`."""

    def __init__(self, actions):
        self.actions = actions

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if find is not None and (spec := find(name, path, target)) is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self.actions)
                return spec
        return None


class _Loader:
    """Loads a module as its own loader does, which it has again afterwards."""

    def __init__(self, loader, actions):
        self._loader = loader
        self._actions = actions

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for action in self._actions:
            action(module)


# -- records that name the running process --------------------------------------------------------------------------


_waiting = None  # for the import of `logging`, on behalf of children


def name_chores():
    """Return the calls that have log records of a child name the running process; where `logging` is not loaded, it has
    what waits for that from here."""
    global _waiting
    if "logging" in sys.modules:
        return chores_once_loaded(_name_records)
    if _waiting not in sys.meta_path:
        _waiting = _LoggingFinder([_name_records_of_child])
        sys.meta_path.insert(0, _waiting)
    return ()


def _name_records_of_child(logging):
    if process.parent_process() is not None:
        _name_records(logging)


def _name_records(logging):
    make = logging.getLogRecordFactory()
    if getattr(make, "names_process", False):
        return

    def named(*args, **kwargs):
        record = make(*args, **kwargs)
        if record.processName == "MainProcess":
            record.processName = process.current_process().name
        return record

    named.names_process = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(named)
