"""`mpiexec -n 3 python -m procession.mpi program.py`: runs a program whose pools work on the ranks of an MPI job.

The first rank runs the program, the others serve it until it ends.
"""

import sys

USAGE = """\
usage: mpiexec -n N python -m procession.mpi script.py [argument ...]
       mpiexec -n N python -m procession.mpi -m module [argument ...]
       mpiexec -n N python -m procession.mpi -c code [argument ...]

Runs a program in the first rank of an MPI job; the others are nodes, on which the pools of
procession.get_context("mpi") work. srun and other launchers do as well as mpiexec.
"""


def main(arguments: "list[str]") -> None:
    """Carry out a command line: run the program in the first rank, serve it in the others until it ends.

    Args:
        arguments: the words after `python -m procession.mpi`.

    Raises:
        SystemExit: the command line is wrong, or MPI is not installed; or as the program ends.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.exit(print(USAGE, end="") if arguments else f"procession.mpi: no program given\n\n{USAGE}")
    from procession import get_context

    try:
        get_context("mpi")
    except ImportError as error:
        sys.exit(f"procession.mpi: {error}")
    from procession.__main__ import run, search_as
    from procession._cluster import mpi_ranks

    if mpi_ranks.join(lambda: search_as(arguments)):
        run(arguments, drops_in=False)


if __name__ == "__main__":
    main(sys.argv[1:])
