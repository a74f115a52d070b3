"""A process that does nothing, from a program that imports nothing."""

import subprocess
import sys
from pathlib import Path

from benches.workload import Workload, main

ROW = Workload("`Process` start + join", "ms", higher_is_better=False, each_start_method=True)
PROGRAM = Path(__file__).parent.parent / "bare.py"


def measure(library):
    """Milliseconds, of a child that is not the program's first."""
    method = library.context.get_start_method()
    command = [sys.executable, PROGRAM, library.name, method, str(library.count(30))]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    main(measure)
