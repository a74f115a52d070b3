"""How many threads the numerical libraries of a worker start: its share of the CPUs, not all of them."""

import os
import sys

__all__ = ["limit_loaded", "variables"]

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
# A piece of the library's file name, its variable, its functions with `*` for `set` or `get`.
_LIBRARIES = (
    (
        "openblas",
        "OPENBLAS_NUM_THREADS",
        (
            "scipy_openblas_*_num_threads64_",
            "scipy_openblas_*_num_threads",
            "openblas_*_num_threads64_",
            "openblas_*_num_threads",
        ),
    ),
    ("libmkl_rt", "MKL_NUM_THREADS", ("MKL_*_Num_Threads",)),
    ("libblis", "BLIS_NUM_THREADS", ("bli_thread_*_num_threads",)),
)


def variables(threads, wanted):
    """Return the environment variables that give a worker so many threads, but for those that the user has set.

    Args:
        threads: how many.
        wanted: the user's variables for the worker.
    """
    chosen = {name: str(threads) for name in _VARIABLES if name not in os.environ and name not in wanted}
    if "numba" in sys.modules:
        # It refuses another number once its threads run, which a fork would find so.
        chosen.pop("NUMBA_NUM_THREADS", None)
    return chosen


def limit_loaded():
    """Have libraries that are loaded already, and so have read their variables, use no more threads than those say."""
    if "numpy" not in sys.modules:
        return
    try:
        with open("/proc/self/maps") as file:
            paths = {line.split(maxsplit=5)[-1].strip() for line in file if ".so" in line}
        for path in paths:
            for piece, variable, functions in _LIBRARIES:
                if piece in os.path.basename(path):
                    _limit(path, int(os.environ.get(variable, "")), functions)
    except (OSError, ValueError):
        pass


def _limit(path, threads, functions):
    import ctypes

    library = ctypes.CDLL(path)
    for name in functions:
        put, get = (getattr(library, name.replace("*", verb), None) for verb in ("set", "get"))
        if put is not None and get is not None:
            if get() > threads:
                put(threads)
            return
