"""Fresh interpreters: their command line, what they are told about the parent, and how they find its main module."""

import _signal  # without the enums of `signal`
import _thread
import gc
import os
import sys
import types

from procession import logs, main_names, process, standard, util
from procession._procession import set_descriptor_limit

__all__ = [
    "_main", "freeze_support", "set_executable", "get_executable", "get_preparation_data", "get_command_line",
    "import_main_path",
]  # fmt: skip

WINEXE = False
FROZEN_SWITCH = "--multiprocessing-fork"

_executable = None


def set_executable(executable):
    """Set the interpreter that new processes run; None goes back to `sys.executable`."""
    global _executable
    _executable = None if executable is None else os.fsencode(executable)


def get_executable():
    """Return the interpreter that new processes run."""
    if _executable is not None:
        return _executable
    return None if sys.executable is None else os.fsencode(sys.executable)


# -- the command line -----------------------------------------------------------------------------------------------

# The package is loaded from where the parent has it: with -I, -E or -S sys.path may not lead there.
_BOOTSTRAP = (
    "import _frozen_importlib as b, _frozen_importlib_external as e;"
    "b._load(e.PathFinder.find_spec('procession', [{directory!r}]));"
    "from procession.{module} import main; main({arguments})"
)
_FLAGS = (
    ("debug", "d"),
    ("dont_write_bytecode", "B"),
    ("no_site", "S"),
    ("verbose", "v"),
    ("bytes_warning", "b"),
    ("quiet", "q"),
    ("optimize", "O"),
)


def interpreter_flags():
    """Return the options that give another interpreter the settings of this one."""
    options = []
    for name, letter in _FLAGS:
        level = getattr(sys.flags, name)
        if level:
            options.append("-" + letter * int(level))
    if sys.flags.isolated:
        options.append("-I")
    else:
        if sys.flags.ignore_environment:
            options.append("-E")
        if sys.flags.no_user_site:
            options.append("-s")
        if sys.flags.safe_path:
            options.append("-P")
    for warning in sys.warnoptions:
        options += ["-W", warning]
    for name, value in sys._xoptions.items():
        options += ["-X", name if value is True else f"{name}={value}"]
    return options


def command_line(module, *arguments):
    """Return the command that calls `main(*arguments)` of one of this package's modules in a fresh interpreter."""
    executable = get_executable()
    if executable is None:
        raise RuntimeError("sys.executable is not known: call set_executable()")
    text = ", ".join(map(repr, arguments))
    if getattr(sys, "frozen", False):
        check_frozen()
        return [executable, FROZEN_SWITCH, module, text]
    directory = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = _BOOTSTRAP.format(directory=directory, module=module, arguments=text)
    return [executable, *interpreter_flags(), "-c", code]


def get_command_line(**kwds):
    """Return the command of a child that reads its process object from descriptors."""
    return command_line("spawn", *kwds.values())


def is_forking(argv):
    """Return whether a command line is one of ours for a frozen executable."""
    return len(argv) >= 2 and argv[1] == FROZEN_SWITCH


_is_diverted = False  # whether this process is what the command line of a frozen executable says


def freeze_support():
    """Be the child and exit, when this is a frozen executable that was started as one; else do nothing."""
    global _is_diverted
    if is_forking(sys.argv) and not _is_diverted:
        from ast import literal_eval
        from importlib import import_module

        _is_diverted = True
        module, arguments = sys.argv[2], literal_eval(f"[{sys.argv[3]}]")
        import_module(f"procession.{module}").main(*arguments)
        sys.exit()


def check_frozen():
    """Refuse to start a child in a frozen executable that should be one itself: it would start itself for ever.

    Raises:
        RuntimeError: it has not called `freeze_support`.
    """
    if is_forking(sys.argv) and not _is_diverted:
        raise RuntimeError(
            "this program is frozen into an executable, which was started as a child and runs as the program again.\n"
            "Its main module has to begin what it does with freeze_support():\n"
            "\n"
            "    if __name__ == '__main__':\n"
            "        procession.freeze_support()\n"
            "        ...\n"
        )


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


def main_source(main=None):
    """Return how a child can import the main module: ("name", module), ("path", file), or None when it cannot."""
    main = main or sys.modules.get("__main__")
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        # A folder's, zip's or package's __main__ has an implied guard: it is not imported again.
        return None if name == "__main__" or name.endswith(".__main__") else ("name", name)
    path = getattr(main, "__file__", None)
    # IPython's launcher has no guard; a program from stdin is called <stdin>.
    if path is None or path.startswith("<") or _stem(path) == "ipython":
        return None
    if not os.path.isabs(path) and process.ORIGINAL_DIR is not None:
        path = os.path.join(process.ORIGINAL_DIR, path)
    return "path", os.path.normpath(path)


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def get_preparation_data(name):
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
        "log_to_stderr": logs._log_to_stderr,
        "sys_path": sys_path,
        "sys_argv": sys.argv,
        "orig_dir": process.ORIGINAL_DIR,
        "dir": _current_directory(),
        "start_method": _start_method(),
        "ignored_signals": [n for n in range(1, _signal.NSIG) if _is_ignored(n)],
    }
    raised = sys.modules.get("procession.descriptors")
    if raised is not None and raised.usual() is not None:
        data["descriptors"] = raised.usual()
    if standard.is_replaced():
        data["replace_standard"] = True
    if logs._logger is not None:
        data["log_level"] = logs._logger.getEffectiveLevel()
    source = main_source()
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


def prepare(data):
    """Make this process resemble its parent, as `get_preparation_data` told it."""
    global lacks_main
    if data.get("goes_on"):
        from procession import child

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
        from procession import settings

        settings.apply(data["settings"])
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
        from procession.drop_in import install

        install()
    if "init_main_from_name" in data:
        _import_main_by_name(data["init_main_from_name"])
    elif "init_main_from_path" in data:
        import_main_path(data["init_main_from_path"], data.get("main_code"))
    else:
        lacks_main = True
    if "around" in data:
        from procession import around

        around.adopt(data["around"])
        return
    main_names.after_import()


def _set_environment(environment):
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


# -- the parent's main module ---------------------------------------------------------------------------------------

lacks_main = False  # whether this process is a child that has no copy of its parent's main module
_main_modules = []  # keeps the modules that `__main__` used to be: their globals must not be cleared


def _import_main_by_name(name):
    if getattr(sys, "frozen", False):  # a frozen executable runs it in each child, up to `freeze_support`
        return
    current = sys.modules["__main__"]
    if getattr(getattr(current, "__spec__", None), "name", None) == name:
        return
    import runpy

    module = types.ModuleType("__mp_main__")
    _install(module, lambda: runpy.run_module(name, run_name="__mp_main__", alter_sys=True))


def import_main_path(path, sent=None):
    """Run the parent's main module from its file, as `__mp_main__`, unless that was done.

    Args:
        sent: its code, as `main_code.for_child` returned it in the parent, or None.
    """
    if getattr(sys, "frozen", False):
        return
    current = sys.modules["__main__"]
    if _stem(path) == "ipython" or getattr(current, "__file__", None) == path:
        return
    module = types.ModuleType("__mp_main__")
    if path.endswith(".py"):
        return _install(module, lambda: _run_source(path, module, sent))
    import runpy

    _install(module, lambda: runpy.run_path(path, run_name="__mp_main__"))


def _run_source(path, module, sent):
    """Run a file of source code in a module, as `runpy` would, which takes longer to load than most programs."""
    code = None
    if sent is not None:
        from procession import main_code

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


def main(count):
    """Be a spawned child: descriptor 3 has the data, 4 is a pidfd of the parent, up to `count` those duplicated."""
    from procession import child

    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])  # until `prepare` knows what it means
    for descriptor in range(3, 3 + count):
        os.set_inheritable(descriptor, False)
    load_pickle()
    # What is there by now stays: no collection has to look at it, and at the end there are several.
    gc.freeze()
    status = child.run_fresh(lambda: load(3), 4)
    # The interpreter ends in its own way, but exit functions have run; its status is that of the process object.
    raise SystemExit(status)


def load_pickle():
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
    from procession import child

    return child.run_fresh(lambda: load(fd), parent_sentinel)


def load(fd):
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
