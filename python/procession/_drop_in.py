"""Puts procession in the place of `multiprocessing`, for a program and the libraries it imports.

An import of `multiprocessing` or of one of its submodules then gives the module of the same name from
here. Children do the same before they import anything of the program: that they should is part of
what they are told about their parent.
"""

import contextlib
import importlib
import importlib.machinery
import sys
import threading

from procession import _standard, process

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.abc import Loader
else:
    Loader = object

STANDARD = "multiprocessing"
OURS = "procession"

# These bring an engine of their own, which is built on private parts of the standard library's: they are
# imported with that in its place.
KEEP_STANDARD = ("joblib.externals.loky", "loky")
# Library -> the function of ours that is called after its import: it puts our engine in the place of its own.
AFTERWARDS = {
    "concurrent.futures.process": ("procession.futures", "stand_in"),
    "joblib": ("procession.joblib", "stand_in"),
}

_swap = threading.RLock()


def install() -> None:
    """Replace `multiprocessing`; a second call does nothing.

    The default start method is that of the replaced module from then on: the program was written for it. One that was
    set, here or there, stays.

    Modules that were imported before and hold `multiprocessing`, a submodule of it or
    `concurrent.futures.ProcessPoolExecutor` as a global variable get ours there; what else they took out of it stays
    the standard library's, so call this early: a process of a class that was taken, or derived from one that was,
    raises `RuntimeError` when it is started.
    """
    if _standard.is_replaced():
        return
    ours = importlib.import_module(OURS)
    # Our exceptions are subclasses of the standard ones, so these must be there first.
    importlib.import_module(f"{OURS}._late_exceptions")
    # Asked while its modules have their names, as it imports some of them when it is asked.
    process.default_context()._take_over(_standard.loaded("context")._default_context)
    for name in [name for name in sys.modules if _is_standard(name)]:
        _standard.kept[name] = sys.modules.pop(name)
    sys.meta_path.insert(0, _Finder())
    sys.modules[STANDARD] = ours
    vars(ours)["__all__"] = [*ours._STANDARD]
    for library in AFTERWARDS.keys() & sys.modules.keys():
        _call_afterwards(library)
    _rebind_globals()


install.__module__ = "procession"  # where programs find it


def _is_standard(name):
    return name == STANDARD or name.startswith(STANDARD + ".")


def _our_name(name):
    return OURS + name.removeprefix(STANDARD)


def _rebind_globals():
    names = {id(module): name for name, module in _standard.kept.items()}
    classes, staying = {}, set()
    if "concurrent.futures.process" in sys.modules:
        from procession import _standard_executor

        classes, staying = _standard_executor.replacements(_belongs)
    for user_name, user in list(sys.modules.items()):
        if _is_standard(user_name) or user_name == OURS or user_name.startswith(OURS + "."):
            continue
        keeps = user_name in staying or _belongs(user_name)
        for variable, value in list(getattr(user, "__dict__", {}).items()):
            name = names.get(id(value))
            if name is not None:
                with contextlib.suppress(ImportError):
                    setattr(user, variable, importlib.import_module(_our_name(name)))
            elif not keeps and id(value) in classes:
                setattr(user, variable, classes[id(value)])


class _Finder:
    """Finds our modules under the standard names, and the libraries that keep the standard ones."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """As of `importlib.abc.MetaPathFinder`."""
        if _is_standard(name):
            return importlib.machinery.ModuleSpec(name, _Loader(_our_name(name)))
        if name.startswith(KEEP_STANDARD) and _belongs(name):
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None and hasattr(spec.loader, "exec_module"):
                spec.loader = _StandardLoader(spec.loader)
            return spec
        if name in AFTERWARDS:
            spec = importlib.machinery.PathFinder.find_spec(name, path, target)
            if spec is not None and hasattr(spec.loader, "exec_module"):
                spec.loader = _LoaderWithSequel(spec.loader)
            return spec
        return None


def _call_afterwards(library):
    module, function = AFTERWARDS[library]
    ours = importlib.import_module(module)
    if hasattr(ours, function):  # else ours was asked for first, imports the library now, and does it at its end
        getattr(ours, function)()


def _belongs(name):
    return any(name == library or name.startswith(library + ".") for library in KEEP_STANDARD)


class _Loader(Loader):
    """Answers an import with a module of ours, under whose own name it stays known too."""

    def __init__(self, our_name):
        self._our_name = our_name

    def create_module(self, spec):
        """Return our module."""
        try:
            module = importlib.import_module(self._our_name)
        except ModuleNotFoundError as error:
            if error.name != self._our_name:
                raise
            raise ModuleNotFoundError(f"procession has no module {spec.name!r}", name=spec.name) from None
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module):
        """Do nothing but undo what the import system changed: the module was there before."""
        module.__spec__ = self._own_spec


class _LoaderWithSequel(_standard.AroundLoader):
    """Has our module called after a library was imported."""

    def exec_module(self, module):
        """Run the module's code, then ours."""
        self._loader.exec_module(module)
        _call_afterwards(module.__name__)


class _StandardLoader(_standard.AroundLoader):
    """Runs a module while `multiprocessing` is the standard library's for it."""

    def exec_module(self, module):
        """Run the module's code."""
        # Modules that it shares with others must not be imported for the first time now.
        importlib.import_module("concurrent.futures.process")
        from procession import _standard_executor

        with standard_modules(), _standard_executor.kept():
            self._loader.exec_module(module)


@contextlib.contextmanager
def standard_modules() -> "Iterator[None]":
    """Make `multiprocessing` the standard library's again while the block runs."""
    with _swap:
        finders = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
        ours = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_standard(name)}
        sys.modules.update(_standard.kept)
        for finder in finders:
            sys.meta_path.remove(finder)
        try:
            yield
        finally:
            sys.meta_path[:0] = finders
            for name in [name for name in sys.modules if _is_standard(name)]:
                _standard.kept[name] = sys.modules.pop(name)
            sys.modules.update(ours)
