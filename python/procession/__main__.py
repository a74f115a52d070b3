"""`python -m procession script.py args...`: runs a program with `multiprocessing` replaced by procession."""

import os
import pkgutil
import runpy
import sys

USAGE = """\
usage: python -m procession [--record[=FILE]] script.py [argument ...]
       python -m procession [--record[=FILE]] -m module [argument ...]
       python -m procession [--record[=FILE]] -c code [argument ...]
       python -m procession --help | --version

Runs an unchanged Python program with `multiprocessing` replaced by procession: in the program, in the
libraries it imports (concurrent.futures.ProcessPoolExecutor and others), and in all its children.
The script may also be a directory or a zip file with a __main__.py; - reads it from standard input.
--record writes down what its pools do, for `procession report`: to FILE, or a file of the program's name and the time.
"""


def main(arguments):
    """Carry out a command line; the program's own end (SystemExit, an exception) is passed on."""
    if not arguments:
        sys.exit(f"procession: no program given\n\n{USAGE}")
    first, rest = arguments[0], arguments[1:]
    if first == "--record" or first.startswith("--record="):
        return _recorded(first.partition("=")[2], rest)
    if first in ("-h", "--help"):
        print(USAGE, end="")
    elif first in ("-V", "--version"):
        from procession import __version__

        print("procession", __version__)
    else:
        run(arguments)


def run(arguments, drops_in=True):
    """Run a program in this process: `script.py`, `-m module` or `-c code`, with its own arguments.

    Args:
        arguments: what follows our own options.
        drops_in: whether `multiprocessing` is replaced.
    """
    first, rest = arguments[0], arguments[1:]
    if first in ("-m", "-c"):
        if not rest:
            sys.exit(f"procession: {first} needs an argument\n\n{USAGE}")
        (_run_module if first == "-m" else _run_code)(rest[0], rest[1:], drops_in)
    elif first.startswith("-") and first != "-":
        sys.exit(f"procession: unknown option {first}\n\n{USAGE}")
    else:
        _run_script(first, rest, drops_in)


def _recorded(path, arguments):
    import time

    from procession._report import recording

    if not arguments or arguments[0] in ("-h", "--help", "-V", "--version"):
        return main(arguments)
    words = [word for word in arguments if not word.startswith("-")] if arguments[0] != "-c" else []
    name = os.path.splitext(os.path.basename(words[0]))[0] if words else "python"
    path = path or f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.procession"
    try:
        recording.begin_for(path, program=os.path.basename(words[0]) if words else "python")
    except OSError as error:
        sys.exit(f"procession: cannot record to {path}: {error.strerror}")
    except ValueError as error:  # since it was imported
        sys.exit(f"procession: cannot record to {path}: {error} ({recording.ENVIRONMENT} asks for it)")
    main(arguments)


def _run_module(name, arguments, drops_in):
    _become(["-m", *arguments], os.getcwd(), drops_in)
    # Sets sys.argv[0] to the module's file and leaves `__main__.__spec__`, by which children find it.
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]


def _run_code(code, arguments, drops_in):
    module = _become(["-c", *arguments], "", drops_in)
    exec(compile(code, "<string>", "exec"), module.__dict__)


def _run_script(path, arguments, drops_in):
    if path == "-":
        module = _become(["-", *arguments], "", drops_in)
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), module.__dict__)
        return
    if not os.path.exists(path):
        sys.exit(f"procession: no such program: {path}")
    if os.path.isdir(path) or _is_archive(path):
        _become([path, *arguments], path, drops_in)
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    module = _become([path, *arguments], _directory(path), drops_in)
    # As the interpreter does: the program may leave the directory before its children look for the file.
    module.__file__ = whole = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    with open(path, "rb") as file:
        code = pkgutil.read_code(file)
        if code is None:
            file.seek(0)
            code = compile(file.read(), whole, "exec")
    exec(code, module.__dict__)


def _directory(path):
    """Return where a script's own modules are: beside the file itself, whatever links lead to it."""
    return os.path.dirname(os.path.realpath(path))


def _become(argv, directory, drops_in):
    """Make this process look like one that was started for the program; return its `__main__` module."""
    sys.argv[:] = argv
    _search(argv[0], directory)
    module = type(sys)("__main__")
    module.__dict__.update(__builtins__=__builtins__, __annotations__={}, __spec__=None)
    # Our own module must not be collected: its functions are on the stack.
    own = sys.modules["__main__"]
    sys.modules[getattr(own.__spec__, "name", "procession.__main__")] = own
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    if drops_in:
        from procession._drop_in import install

        install()
    return module


def search_as(arguments):
    """Have this process find the modules that a program finds, of which `run` takes these arguments."""
    first = arguments[0]
    directory = {"-m": os.getcwd(), "-c": "", "-": ""}.get(first)
    if directory is None:
        is_whole = os.path.isdir(first) or os.path.exists(first) and _is_archive(first)
        directory = first if is_whole else _directory(first)
    _search(first, directory)


def _search(first, directory):
    # -m procession put the current directory there, unless python was told not to.
    if not sys.flags.safe_path:
        sys.path[0] = directory
    elif first not in ("-m", "-c", "-"):
        sys.path.insert(0, directory)


def _is_archive(path):
    import zipfile

    return zipfile.is_zipfile(path)


if __name__ == "__main__":
    main(sys.argv[1:])
