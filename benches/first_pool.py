"""A program that imports numpy, and scipy.stats where it is installed, and its first pool, which is used for one task:

    python benches/first_pool.py LIBRARY START_METHOD

Prints the milliseconds of the pool's start, first result and stop.
"""

import sys
from pathlib import Path

import numpy  # noqa: F401  the point of the program

try:
    import scipy.stats  # noqa: F401
except ImportError:
    pass

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)

    from benches import libraries
    from benches.bare_pool import use_once

    library, method = sys.argv[1:]
    print(use_once(libraries.load(library, method, each_start_method=True)))
