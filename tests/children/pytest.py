"""What stands in for pytest in children, which import test modules for functions alone: to load pytest takes longer
than to start a worker. Marks and fixtures are nothing there; whoever wants anything else gets pytest itself.
"""

import importlib.machinery
import importlib.util
import os
import sys


class _Nothing:
    """A mark or a fixture, or what makes one: whatever it is put on stays as it is."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **options):
        return args[0] if len(args) == 1 and not options and callable(args[0]) else self


fixture = mark = param = _Nothing()


def importorskip(name, **options):
    """Import a module: in the parent, which imported this one, it is there."""
    return importlib.import_module(name)


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    if sys.modules.get("pytest") is sys.modules[__name__]:
        specs = (importlib.machinery.PathFinder.find_spec("pytest", [path]) for path in sys.path)
        # Not this one, which may be found by several paths.
        spec = next(spec for spec in specs if spec and spec.origin and not os.path.samefile(spec.origin, __file__))
        sys.modules["pytest"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return getattr(sys.modules["pytest"], name)
