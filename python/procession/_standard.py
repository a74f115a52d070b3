"""The standard library's `multiprocessing`, for the places where the two must understand each other.

Some of its parts are used beside ours: `concurrent.futures` has its queue, programs catch its exceptions.
They are looked up here, because under its name `sys.modules` may have ours: see `drop_in.py`.
"""

import os
import sys

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object

# The standard modules by their names, once ours stand in `sys.modules` under these.
kept: dict = {}

# Whether the program is an executable. Asked once: to look for what a module lacks costs each child a dozen pages.
FROZEN = getattr(sys, "frozen", False)


def __getattr__(name):
    """Make `Generic` when it is first asked for. It stands in for `typing.Generic`, which checkers see and whose module
    would cost each process more than the package: a class below it can be subscripted, and is the same class."""
    if name != "Generic":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    members = {"__module__": __name__, "__slots__": (), "__class_getitem__": classmethod(type(list[int]))}
    value = globals()[name] = type(name, (), members)
    return value


_LAST = -1000  # the priority of what comes after the finalizers of the program


def is_replaced():
    """Return whether `multiprocessing` is ours in this process."""
    return bool(kept)


def loaded(name):
    """Return the module `multiprocessing.<name>` of the standard library if it is loaded, else None: also while it is
    being loaded, by this thread or by another one, and lacks names."""
    module = (kept or sys.modules).get(f"multiprocessing.{name}")
    if module is None or getattr(getattr(module, "__spec__", None), "_initializing", False):
        return None
    return module


def shared_config(own):
    """Return the settings of this program's main process, its key among them, which it and the standard library share.

    Libraries register reducers of theirs with the standard library, which prove with its key that they belong to the
    program. So there is one key: the standard library's where it was loaded first, which a program may have set.

    Args:
        own: the settings to use, and to give to the standard library when it is loaded.
    """
    process = loaded("process")
    if process is None:
        if _ProcessFinder not in sys.meta_path:
            sys.meta_path.insert(0, _ProcessFinder)
        return own
    theirs = process.current_process()
    if type(theirs).__name__ == "_MainProcess":
        theirs._config["authkey"] = type(own["authkey"])(theirs.authkey)  # which shows itself nowhere
        return theirs._config
    return {**own, "authkey": theirs.authkey}  # a child that the standard library has started


class _ProcessFinder:
    """Finds the standard library's `multiprocessing.process` once, so that it is told who runs before it is asked."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """As of `importlib.abc.MetaPathFinder`."""
        if name != "multiprocessing.process":
            return None
        sys.meta_path.remove(_ProcessFinder)
        found = (finder.find_spec(name, path, target) for finder in list(sys.meta_path))
        spec = next(filter(None, found), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _LoaderOfProcess(spec.loader)
        return spec


class AroundLoader(Loader):
    """Does something around what another loader does."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        """As the loader behind does."""
        return self._loader.create_module(spec)


class _LoaderOfProcess(AroundLoader):
    """Tells the module who runs."""

    def exec_module(self, module):
        """Run the module's code; then its main process has our settings, or in a child its current process is ours."""
        self._loader.exec_module(module)
        module.__loader__ = module.__spec__.loader = self._loader
        ours = sys.modules["procession.process"]
        if ours._parent_process is None:
            module._current_process._config = ours._current_process._config
        else:
            module._current_process, module._parent_process = ours._current_process, ours._parent_process


def _chores(process_obj, parent):
    """Return the calls that tell the standard modules, in a child, who runs and that what they knew is the parent's."""
    chores: list = []
    process = loaded("process")
    if process is not None:
        # Logs and queues ask for the current process.
        known = vars(process)
        names = {"_current_process": process_obj, "_parent_process": parent, "_children": set()}
        names["_inherited"] = [known[name] for name in names]  # see `process._inherited`
        chores.append((known.update, (names,)))
    util = loaded("util")
    if util is not None:
        chores += [(util._finalizer_registry.clear, ()), (util._run_after_forkers, ())]
        if util._exiting:  # the process that is copied is on its way out
            chores.append((vars(util).__setitem__, ("_exiting", False)))
    return chores


def end():
    """Let the standard modules finish, such as the thread of a queue that still has items to send."""
    util = loaded("util")
    if util is not None:
        util._exit_function()


def ensure_end(function):
    """In a child of the standard library, which runs no exit functions in most versions, have `function` called at its
    end; do nothing in any other process."""
    process, util = loaded("process"), loaded("util")
    if process is None or util is None:
        return
    current = process._current_process
    if current._parent_pid is None or type(current).__module__.startswith("procession."):
        return
    if vars(current).get("_procession_end") != os.getpid():
        current._procession_end = os.getpid()
        util.Finalize(None, function, exitpriority=_LAST)


def spawning(popen):
    """Tell the standard modules which process object is being pickled."""
    context = loaded("context")
    if context is not None:
        context.set_spawning_popen(popen)


def is_spawning():
    """Return whether the standard library starts a child of its own in this thread."""
    context = loaded("context")
    return context is not None and context.get_spawning_popen() is not None
