"""Log records that name the running process: `logging` asks the standard library, which may not be loaded."""

import sys

__all__ = ["name_log_records"]


def name_log_records():
    """Have log records name the running process from now on; where `logging` is not loaded, once it is."""
    logging = sys.modules.get("logging")
    if logging is not None:
        _name_records(logging)
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def _name_records(logging):
    make = logging.getLogRecordFactory()
    if getattr(make, "names_process", False):
        return

    def named(*args, **kwargs):
        from procession import process

        record = make(*args, **kwargs)
        if record.processName == "MainProcess":
            record.processName = process.current_process().name
        return record

    named.names_process = True
    logging.setLogRecordFactory(named)


class _Watch:
    """Waits for the import of `logging`, and has it executed by a `_Loader`."""

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if find is not None and (spec := find(name, path, target)) is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """Loads a module as its own loader does, which it has again afterwards."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _name_records(module)
