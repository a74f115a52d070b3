"""As `first_pool.py`, with procession's forkserver, which begins while the program imports.

Prints the milliseconds of the pool's start, first result and stop.
"""

import procession

procession.prepare()

import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy  # noqa: E402, F401  the point of the program

try:
    import scipy.stats  # noqa: F401
except ImportError:
    pass

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)

    from benches.bare_pool import use_once

    print(use_once(procession.get_context("forkserver")))
