"""Fresh interpreters: what they are told about the parent, and how they find its main module."""

import _signal  # without the enums of `signal`
import _thread
import gc
import os
import sys

from procession import _logs, _standard, process, util
from procession._procession import hold_life, set_descriptor_limit

__all__ = [
    "_main", "freeze_support", "set_executable", "get_executable", "get_preparation_data", "get_command_line",
    "import_main_path",
]  # fmt: skip

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

    from procession._children.program import freeze_support, get_executable, set_executable

WINEXE = False

_Module = type(sys)  # `types` has it, too, and would be loaded for it alone

# Names of this module that stand elsewhere: no child starts programs before somebody asks it to.
_OF_PROGRAMS = (
    "command_line",
    "freeze_support",
    "get_executable",
    "interpreter_flags",
    "is_forking",
    "set_executable",
)


def __getattr__(name):
    if name in _OF_PROGRAMS:
        from procession._children import program

        return getattr(program, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_command_line(**kwds: "Any") -> "list[Any]":
    """Return the command of a child that reads its process object from descriptors."""
    from procession._children import program

    return program.command_line("spawn", *kwds.values())


# -- what the child is told -----------------------------------------------------------------------------------------


def _check_not_importing_main():
    if getattr(process.current_process(), "_inheriting", False):
        raise RuntimeError(
            "a process is being started while this one still imports the main module of its parent.\n"
            "The start methods spawn and forkserver import that module again in each child, so what it does when\n"
            "run as a program must stand under\n"
            "\n"
            "    if __name__ == '__main__':\n"
            "        freeze_support()  # only for programs that are frozen into an executable\n"
            "        ...\n"
        )


def get_preparation_data(name: str) -> "dict[str, Any]":
    """Return what a child needs before its process object can be unpickled.

    Raises:
        RuntimeError: this process itself is still importing its parent's main module.
    """
    _check_not_importing_main()
    sys.modules["__mp_main__"] = sys.modules["__main__"]  # may be another one than when this package was imported
    sys_path = sys.path.copy()
    if "" in sys_path and process.ORIGINAL_DIR is not None:
        sys_path[sys_path.index("")] = process.ORIGINAL_DIR
    data = {
        "name": name,
        "authkey": process.current_process().authkey,
        "log_to_stderr": _logs._log_to_stderr,
        "sys_path": sys_path,
        "sys_argv": sys.argv,
        "orig_dir": process.ORIGINAL_DIR,
        "dir": _current_directory(),
        "start_method": _start_method(),
        "ignored_signals": [n for n in range(1, _signal.NSIG) if _is_ignored(n)],
    }
    raised = sys.modules.get("procession._children.descriptor_limits")
    if raised is not None and raised.usual() is not None:
        data["descriptors"] = raised.usual()
    if _standard.is_replaced():
        data["replace_standard"] = True
    if _logs._logger is not None:
        data["log_level"] = _logs._logger.getEffectiveLevel()
    from procession._objects import main_module

    source = main_module.main_source()
    if source is not None:
        data["init_main_from_" + source[0]] = source[1]
    return data


# Python itself ignores SIGPIPE and SIGXFSZ; an ignored SIGCHLD would take the child's own children away.
_NOT_CARRIED = (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGCHLD)


def _is_ignored(number):
    return _signal.getsignal(number) == _signal.SIG_IGN and number not in _NOT_CARRIED


def _current_directory():
    try:
        return os.getcwd()
    except OSError:
        return None


def _start_method():
    return process.default_context().get_start_method(allow_none=True)  # a child of a context does not fix the default


def _take_places(data):
    """Look for modules, files and arguments where the parent does."""
    if "sys_path" in data:
        sys.path = data["sys_path"]
    if "sys_argv" in data:
        sys.argv = data["sys_argv"]
    if data.get("dir") is not None:
        try:
            os.chdir(data["dir"])
        except OSError as error:
            util.info("the parent's directory cannot be entered: %s", error)
    if "orig_dir" in data:
        process.ORIGINAL_DIR = data["orig_dir"]


def prepare(data: "dict[str, Any]") -> None:
    """Make this process resemble its parent, as `get_preparation_data` told it."""
    if "life" in data:
        hold_life(data["life"])
    if data.get("goes_on"):
        from procession._children import child

        _signal.signal(_signal.SIGINT, child.go_on)
    if not data.get("blocks_interrupts"):
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])
    own = process.current_process()
    if "name" in data:
        own.name = data["name"]
    if "authkey" in data:
        own.authkey = data["authkey"]
    if "descriptors" in data:
        set_descriptor_limit(data["descriptors"])
    if "tracker" in data:
        from procession.resource_tracker import _resource_tracker

        _resource_tracker.inherit(data["tracker"])
    if data.get("environment") is not None:
        _set_environment(data["environment"])
    if "settings" in data:
        from procession import _settings

        _settings.apply(data["settings"], data["is_worker"])
        if "cwd" in data["settings"]:
            data["dir"] = None
    if data.get("log_to_stderr"):
        util.log_to_stderr()
    if "log_level" in data:
        util.get_logger().setLevel(data["log_level"])
    _take_places(data)
    if data.get("ignored_signals"):
        for number in data["ignored_signals"]:
            _signal.signal(number, _signal.SIG_IGN)
    if data.get("start_method") is not None:
        process.default_context().set_start_method(data["start_method"], force=True)
    if data.get("replace_standard"):
        from procession._drop_in import install

        install()
    # A forkserver may have lacked it when it began.
    process.lacks_main = not {"init_main_from_name", "init_main_from_path"} & data.keys()
    if "init_main_from_name" in data:
        _import_main_by_name(data["init_main_from_name"])
    elif "init_main_from_path" in data:
        import_main_path(data["init_main_from_path"], data.get("main_code"))
    if "around" in data:
        from procession import _around

        _around.adopt(data["around"])
        return
    process.main_names = frozenset(() if process.lacks_main else vars(sys.modules["__main__"]))


def _set_environment(environment):
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


# -- the parent's main module ---------------------------------------------------------------------------------------

_main_modules = []  # keeps the modules that `__main__` used to be: their globals must not be cleared


def _import_main_by_name(name):
    if _standard.FROZEN:  # a frozen executable runs it in each child, up to `freeze_support`
        return
    current = sys.modules["__main__"]
    if getattr(getattr(current, "__spec__", None), "name", None) == name:
        return
    import runpy

    module = _Module("__mp_main__")
    _install(module, lambda: runpy.run_module(name, run_name="__mp_main__", alter_sys=True))


def import_main_path(path: str, sent: "Any" = None) -> None:
    """Run the parent's main module from its file, as `__mp_main__`, unless that was done.

    Args:
        sent: its code, as `main_code.for_child` returned it in the parent, or None.
    """
    if _standard.FROZEN:
        return
    current = sys.modules["__main__"]
    if os.path.splitext(os.path.basename(path))[0] == "ipython" or getattr(current, "__file__", None) == path:
        return
    module = _Module("__mp_main__")
    if path.endswith(".py"):
        return _install(module, lambda: _run_source(path, module, sent))
    import runpy

    _install(module, lambda: runpy.run_path(path, run_name="__mp_main__"))


def _run_source(path, module, sent):
    """Run a file of source code in a module, as `runpy` would, which takes longer to load than most programs."""
    code = None
    if sent is not None:
        from procession._children import main_code

        code = main_code.of_parent(sent)
    if code is None:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
    module.__dict__.update(__file__=path, __cached__=None, __package__="")
    before = sys.modules.get(module.__name__)
    first = sys.argv[0] if sys.argv else None
    sys.modules[module.__name__] = module
    sys.argv[:1] = [path]
    try:
        exec(code, module.__dict__)
    finally:
        sys.argv[:1] = [] if first is None else [first]
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
    return {}


def _install(module, run):
    _main_modules.append(sys.modules["__main__"])
    module.__dict__.update(run())
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


# -- the child ------------------------------------------------------------------------------------------------------


def main(count: int, module: str | None = None) -> None:
    """Be a spawned child: descriptor 3 has the data, 4 is a pidfd of the parent, up to `count` those duplicated.

    Args:
        module: of this package, with what the child runs, if so.
    """
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])  # until `prepare` knows what it means
    for descriptor in range(3, 3 + count):
        os.set_inheritable(descriptor, False)
    # What is loaded here stays: no collection has to look at it, now, later, and at the end several times.
    collects = gc.isenabled()
    gc.disable()
    from procession._children import child

    load_pickle()
    if module is not None:
        __import__(module)
    gc.freeze()
    if collects:
        gc.enable()
    status = child.run_fresh(lambda: load(3), 4)
    # The interpreter ends in its own way, but exit functions have run; its status is that of the process object.
    raise SystemExit(status)


def load_pickle() -> None:
    """Load `_pickle`, which wants nothing of `functools` but `partial`, without the rest of that: as long as nothing of
    the program runs in this process, nobody else asks for it."""
    if _thread._count() or "functools" in sys.modules:
        return
    import _compat_pickle  # noqa: F401
    import _functools
    import copyreg  # noqa: F401

    sys.modules["functools"] = _functools
    try:
        import _pickle  # noqa: F401
    except (AttributeError, ImportError):  # it wants more: whoever needs it loads it as usual
        pass
    finally:
        del sys.modules["functools"]


def _main(fd, parent_sentinel):
    """Run the process object that `fd` describes and return its exit status."""
    from procession._children import child

    return child.run_fresh(lambda: load(fd), parent_sentinel)


def load(fd: int) -> "Any":
    """Prepare this process and unpickle its process object from a descriptor, which is closed."""
    from _pickle import load as unpickle  # without what `pickle` loads

    own = process.current_process()
    own._inheriting = True
    try:
        with open(fd, "rb") as file:
            prepare(unpickle(file))
            return unpickle(file)
    finally:
        del own._inheriting
