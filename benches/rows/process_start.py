"""A process that does nothing, from a program that imports nothing."""

from benches.aims import Times, TimesBest
from benches.workload import Workload, main, printed_by

ROW = Workload(
    "`Process` start + join",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    aim={"fork": TimesBest(1.43), "spawn": Times(2), "forkserver": Times(2.94)},
)


def measure(library):
    """Milliseconds, of a child that is not the program's first."""
    library.own("Process")
    return printed_by("bare.py", library.context.module, library.start_method, library.count(30))


def limit(amount):
    """Milliseconds of `os.fork` or of an interpreter that does nothing, with the wait for its end."""
    return printed_by("bare.py", "-", amount.start_method, amount.count(30))


if __name__ == "__main__":
    main(ROW, measure, limit)
