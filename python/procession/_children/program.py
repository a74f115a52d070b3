"""The program that a child or a helper runs: its interpreter, its command line, its start with descriptors."""

import _signal  # without the enums of `signal`
import os
import sys

from procession import _standard
from procession._procession import check_file_size, memory_file, spawn_process

__all__: list[str] = []

FROZEN_SWITCH = "--multiprocessing-fork"

# Masks have a bit for each signal, from that of signal 1 on.
INTERRUPTS = 1 << (_signal.SIGINT - 1)
TERMINATIONS = 1 << (_signal.SIGTERM - 1) | 1 << (_signal.SIGHUP - 1)

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

# The package is loaded from where the parent has it: with -I, -E or -S sys.path may not lead there. All of it stays, so
# no collection looks at it.
_BOOTSTRAP = (
    "import _frozen_importlib as b, _frozen_importlib_external as e, gc;"
    "collects = gc.isenabled(); gc.disable();"
    "b._load(e.PathFinder.find_spec('procession', [{directory!r}]));"
    "from procession.{module} import main;"
    "gc.freeze(); collects and gc.enable(); main({arguments})"
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
    if _standard.FROZEN:
        check_frozen()
        return [executable, FROZEN_SWITCH, module, text]
    directory = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = _BOOTSTRAP.format(directory=directory, module=module, arguments=text)
    return [executable, *interpreter_flags(), "-c", code]


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


# -- its start ------------------------------------------------------------------------------------------------------


def file_of(data):
    """Return a descriptor of an anonymous file that holds `data`, at its beginning."""
    check_file_size(len(data))
    descriptor = memory_file("procession")
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def start_interpreter(arguments, descriptors, mask=0):
    """Run a command with copies of `descriptors` as 3, 4 ...; return the process's id.

    SIGINT is blocked there until the program unblocks it, beside the signals in `mask`: Ctrl-C in the middle of an
    interpreter's start is noise.
    """
    environment = [b"%s=%s" % item for item in os.environb.items()]
    arguments = [os.fsencode(a) for a in arguments]
    return spawn_process(arguments[0], arguments, environment, descriptors, mask | INTERRUPTS)
