"""The command `procession`: runs unchanged programs, shows what pools do, what will fail, measures this machine."""

import os
import sys

__all__ = ["main"]

USAGE = """\
usage: procession run script.py [argument ...]   an unchanged program, with multiprocessing replaced in it
       procession run -m module | -c code        the same for a module or a line of code
       procession run --record[=FILE] ...        the same, recorded for a report
       procession report [FILE] [-o PAGE] [--open] [--trace TRACE] [--json]
                                                 a page that shows what a recorded program did, and what to do about it
       procession bench [--quick] [--start-method METHOD]
                                                 procession beside the standard library, on this machine
       procession top [PID ...] [--once] [--json]
                                                 what the pools of this machine do, of any program
       procession stacks [PID ...]               where in their code the workers are
       procession journal FILE [--json]          what a map has kept by resume=
       procession doctor [FILE.py ...] [-v] [--json] [--strict]
                                                 what fails or hurts here, and what to do about it
       procession --help | --version

Each command tells more with --help.
"""
_COMMANDS = {
    "bench": "procession.cli.bench",
    "top": "procession.cli.top",
    "stacks": "procession.cli.stacks",
    "doctor": "procession.cli.doctor.command",
    "journal": "procession.cli.journal",
    "report": "procession.cli.report",
}


def main(arguments: list[str] | None = None) -> None:
    """Carry out a command line.

    Args:
        arguments: a list of str; None takes those of the program.

    Raises:
        SystemExit: the command line makes no sense, or the program that was run ends so.
    """
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command == "run":
        from procession.__main__ import main as run

        run(rest)
    elif command in _COMMANDS:
        from importlib import import_module  # each loads what it needs alone

        try:
            import_module(_COMMANDS[command]).main(rest)
        except BrokenPipeError:  # such as `procession bench | head`: nobody reads any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
            sys.exit(1)
    elif command in ("-h", "--help"):
        print(USAGE, end="")
    elif command in ("-V", "--version"):
        from procession import __version__

        print("procession", __version__)
    else:
        sys.exit(f"procession: unknown command {command!r}\n\n{USAGE}")
