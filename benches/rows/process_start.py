"""A process that does nothing, from a program that imports nothing."""

import subprocess
import sys
from pathlib import Path

from benches.aims import Times, TimesBest
from benches.workload import Workload, main

ROW = Workload(
    "`Process` start + join",
    "ms",
    higher_is_better=False,
    each_start_method=True,
    aim={"fork": TimesBest(1.43), "spawn": Times(2), "forkserver": Times(2.94)},
)
PROGRAM = Path(__file__).parent.parent / "bare.py"


def measure(library):
    """Milliseconds, of a child that is not the program's first."""
    library.own("Process")
    return run(library.context.module, library.start_method, library.count(30))


def limit(amount):
    """Milliseconds of `os.fork` or of an interpreter that does nothing, with the wait for its end."""
    return run("-", amount.start_method, amount.count(30))


def run(module, method, count):
    """Runs the program, and returns what it prints."""
    command = [sys.executable, PROGRAM, module, method, str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main(ROW, measure, limit)
