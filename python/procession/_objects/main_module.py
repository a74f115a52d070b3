"""Which functions and classes of `__main__` other processes find in theirs; the others have to travel by value."""

import os
import sys
import types
from _weakref import ref

from procession import _standard, process
from procession._procession import Definitions, Receiver

__all__: list[str] = []

BY_NAME = (type, types.FunctionType)
_FUNCTION, _CODE = types.FunctionType, types.CodeType
_KEPT = 16  # so many snapshots are remembered, for what comes late from children that are gone

_LIBRARIES = (
    os.path.dirname(os.path.abspath(os.__file__)) + os.sep,
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep,
)


def is_of_program(module):
    """Return whether a module belongs to the program: it is `__main__`, or its file stands with no library."""
    names = getattr(module, "__dict__", None) or {}
    if names.get("__name__") in ("__main__", "__mp_main__"):
        return True
    file = names.get("__file__")
    if not isinstance(file, str):
        return False
    file = os.path.abspath(file)
    return not (file.startswith(_LIBRARIES) or "site-packages" in file or "dist-packages" in file)


def leads_to_program(module):
    """Return whether a module is of the program, or a package without a file, in which modules of it may be."""
    names = getattr(module, "__dict__", None) or {}
    return is_of_program(module) or names.get("__file__") is None and "__path__" in names


def may_read(function):
    """Return whether a function may read a global variable, or call what does."""
    if type(function) is not _FUNCTION:
        built_in = type(function) is types.BuiltinFunctionType
        return not built_in and not (type(function) is type and function.__module__ == "builtins")
    # Few objects are made: it is asked of each process that is forked, which makes every object cost something.
    names, code = function.__globals__, function.__code__
    defaults = function.__defaults__ or ()
    if function.__kwdefaults__:
        defaults += tuple(function.__kwdefaults__.values())
    if function.__closure__ is not None or any(type(one).__module__ != "builtins" for one in defaults):
        return True
    for name in code.co_names:
        if name in names and (type(names[name]) is not types.ModuleType or leads_to_program(names[name])):
            return True
    return len(code.co_consts) > 1 and any(type(const) is _CODE for const in code.co_consts)


_hidden = False  # whether the main module is one that children have no use for


def hide(hidden):
    """Have the children of this process import no main module, if `hidden`: it is that of an engine of a cluster."""
    global _hidden
    _hidden = hidden


def main_is_importable():
    """Return whether children can import this process's `__main__`; not so that of a REPL, a notebook, `-c`, a pipe."""
    return main_source() is not None


def main_source(main=None):
    """Return how a child can import the main module: ("name", module), ("path", file), or None when it cannot."""
    if main is None and _hidden:
        return None
    main = main or sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        # A folder's, zip's or package's __main__ has an implied guard: it is not imported again.
        return None if name == "__main__" or name.endswith(".__main__") else ("name", name)
    path = getattr(main, "__file__", None)
    # IPython's launcher has no guard; a program from stdin is called <stdin>.
    if path is None or path.startswith("<") or stem(path) == "ipython":
        return None
    if not os.path.isabs(path) and process.ORIGINAL_DIR is not None:
        path = os.path.join(process.ORIGINAL_DIR, path)
    path = os.path.normpath(path)
    return ("path", path) if _is_lasting(path) else None


_lasting: dict[str, bool] = {}  # by path, as it is asked for each function of a pickle


def _is_lasting(path):
    """Return whether children find a file under its path; not so a pipe, or one that was removed once it ran."""
    known = _lasting.get(path)
    if known is None:
        # A frozen program's is in none: its children run it as the program does.
        known = _standard.FROZEN or os.path.isfile(path) and not path.startswith(("/dev/", "/proc/"))
        _lasting[path] = known
    return known


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def found_at(path):
    """Return what stands in `__main__` under a path of names, or None."""
    found = sys.modules.get("__main__")
    for name in path:
        found = getattr(found, name, None)
    return found


def _found(obj):
    return found_at(obj.__qualname__.split("."))


def is_of_main(obj):
    """Return whether a pickle would look for `obj`, a function or class, in `__main__`."""
    return getattr(obj, "__module__", None) in ("__main__", "__mp_main__")


# -- copies of a process ---------------------------------------------------------------------------------------------


class Snapshot:
    """What `__main__` has when a process is forked: that much the child has, too, and knows by the snapshot's name."""

    def __init__(self, names, kinds):
        self.process = os.getpid()
        self.name = f"{self.process}-{os.urandom(8).hex()}"
        # Weak, so that nothing lives longer; and a later function at the same address is not taken for the earlier one.
        self._gone: list = []
        self._definitions = Definitions(names, kinds)
        self._there = {}
        for name, obj in list(names.items()):
            # Asking a module that is to be loaded when it is used what it is would load it.
            if issubclass(type(obj), type) or any(type(obj) is kind for kind in kinds):
                self._there[name] = ref(obj, self._gone.append)

    def has(self, obj):
        """Return whether a function or class that stands in `__main__` did so when the snapshot was taken."""
        path = obj.__qualname__.split(".")
        outermost = self._there.get(path[0])
        if outermost is None or _found(obj) is not obj:
            return False
        # A decorator may have made anything: how to find it tells nothing about when it was made.
        return outermost() is found_at(path[:1])

    def find(self, path):
        """Return what stood in `__main__` under a path of names, or None."""
        reference = self._there.get(path[0])
        found = None if reference is None else reference()
        for name in path[1:]:
            found = getattr(found, name, None)
        return found


_FUNCTIONS = (types.FunctionType,)
_kinds: tuple = _FUNCTIONS  # of functions, beside classes: those that `functools` keeps results of, once it is there
_taken: list[Snapshot] = []  # the last ones
_inherited: Snapshot | None = None  # the one of the fork that made this process, once another is taken here


def snapshot():
    """Return what `__main__` has now, for children that are forked from here on."""
    global _inherited, _kinds
    last, names, kinds = _taken[-1] if _taken else None, sys.modules["__main__"].__dict__, _kinds
    if "_functools" in sys.modules and kinds is _FUNCTIONS:
        _kinds = kinds = types.FunctionType, sys.modules["_functools"]._lru_cache_wrapper
    if last is not None and last.process != os.getpid():
        _inherited = last
    elif last is not None and not last._gone and last._definitions.are_those_of(names, kinds):
        return last
    # Objects of children that import it say that they are of this module.
    sys.modules["__mp_main__"] = sys.modules["__main__"]
    taken = Snapshot(names, kinds)
    _taken[:] = [*_taken[1 - _KEPT :], taken]
    return taken


def inherited():
    """Return the snapshot of the fork that made this process, None if it was not forked."""
    last = _taken[-1] if _taken else None
    return last if last is not None and last.process != os.getpid() else _inherited


def known_as(obj):
    """Return the names of the snapshots that have a function or class of `__main__`."""
    return [taken.name for taken in _taken if taken.has(obj)]


def find(names, path):
    """Return what stood in `__main__` under a path when one of the named snapshots was taken, or None."""
    for taken in _taken:
        if taken.name in names:
            found = taken.find(path)
            if found is not None:
                return found
    return None


# -- who knows what --------------------------------------------------------------------------------------------------


def imports(obj):
    """Return whether children that import the file of `__main__` find `obj`, a function or class, under its name."""
    if not main_is_importable():
        return False
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    name = obj.__qualname__.split(".")[0]
    if process.main_names is not None and name not in process.main_names:
        return False
    if path is not None:
        from procession._objects import main_source

        if not main_source.defines(path, name):
            return False
    return _found(obj) is obj


def _parent_knows(obj):
    forked = inherited()
    if forked is not None:
        return forked.has(obj)
    return process.main_names is None or obj.__qualname__.split(".")[0] in process.main_names


def _anybody_knows(obj):
    if not imports(obj):
        return False
    forked = inherited()
    if forked is not None and not forked.has(obj):
        return False
    # Children that were forked before it was defined lack it.
    copies = {getattr(child._popen, "snapshot", None) for child in list(process._children)}
    return all(copy.has(obj) for copy in copies if copy is not None)


anybody = Receiver(_anybody_knows)
parent = Receiver(_parent_knows)
importing = Receiver(imports)
