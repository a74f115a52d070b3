"""How many threads the numerical libraries of a worker start: its share of the CPUs, not all of them."""

import os
import sys

__all__ = ["UNCHANGED", "limit_loaded", "limited", "variables"]

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


def variables(threads):
    """Return the variables, as bytes, that give a worker so many threads, but for those that this process has."""
    return {os.fsencode(name): b"%d" % threads for name in _VARIABLES if name not in os.environ}


def given():
    """Return the variables that this process has, which so are left as they are, and how many threads they say."""
    told = {name: _number(os.environb.get(name.encode())) for name in _VARIABLES}
    return {name: number for name, number in told.items() if number}


def settable(chosen):
    """Return those of the variables that a process like this one can be given now."""
    if "numba" in sys.modules:
        # The library refuses another number once its threads run, and a fork would find it so.
        return {name: value for name, value in chosen.items() if name != b"NUMBA_NUM_THREADS"}
    return chosen


def limit_loaded():
    """Have libraries that are loaded already, and so have read their variables, use no more threads than those say."""
    for _, put, wanted in _too_many(_loaded(), {}):
        put(wanted)


def are_limited(environment):
    """Return whether a process that is forked now, and gets these variables, as bytes, has nothing left to limit."""
    return not _too_many(_loaded(), environment)


def _too_many(libraries, environment):
    """Return of each library that may start too many threads how many, what sets that, and how many it should be."""
    found = []
    for variable, put, get in libraries:
        name = variable.encode()
        text = environment[name] if name in environment else os.environb.get(name)
        number, wanted = get(), _number(text)
        if wanted and number > wanted:
            found.append((number, put, wanted))
    return found


def limited(environment):
    """Have loaded libraries use few threads for a while: processes that are forked meanwhile have that from the start.

    A library that is told of its number only in the child may first start as many threads as it had before.

    Args:
        environment: the variables that the children get, as bytes.

    Returns:
        A context manager.
    """
    return _Limited(_loaded(), environment)


class _Limited:
    # A class, as `contextlib` loads more than all of a pool.
    def __init__(self, libraries, environment):
        self._libraries = libraries
        self._environment = environment
        self._before = []

    def __enter__(self):
        try:
            for number, put, wanted in _too_many(self._libraries, self._environment):
                self._before.append((put, number))
                put(wanted)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exception):
        for put, number in self._before:
            put(number)


UNCHANGED = _Limited((), {})  # where there is nothing to limit


def _number(text):
    return int(text) if text and text.isascii() and text.isdigit() else None


_known = (0, [])  # when so many modules were loaded, the libraries with them


def any_loaded():
    """Return whether there may be such libraries in this process."""
    return "numpy" in sys.modules


def look_around():
    """Find the libraries that are loaded, so that processes that are forked later know them already."""
    _loaded()


def _loaded():
    """Return of each library that is loaded its variable and the functions that set and get its number of threads."""
    global _known
    if not any_loaded():
        return []
    count, found = _known
    if count != len(sys.modules):
        found = list(_find())
        _known = (len(sys.modules), found)
    return found


def _find():
    for path in _paths():
        for piece, variable, functions in _LIBRARIES:
            if piece in os.path.basename(path):
                for put, get in _functions(path, functions):
                    yield variable, put, get


def _paths():
    """Return the files of the libraries that are loaded."""
    try:
        with open("/proc/self/maps") as file:
            return {line.split(maxsplit=5)[-1].strip() for line in file if ".so" in line}
    except OSError:
        return set()


def of_openblas():
    """Return how many threads of OpenBLAS there are at most: it ends them before a fork, and starts them anew."""
    import ctypes

    number = 0
    for path in _paths():
        if "openblas" in os.path.basename(path):
            try:
                number += max(0, ctypes.c_int.in_dll(ctypes.CDLL(path), "blas_num_threads").value - 1)
            except (OSError, ValueError):  # one that tells no such name
                number += os.cpu_count() or 1
    return number


def _functions(path, names):
    import ctypes

    try:
        library = ctypes.CDLL(path)
    except OSError:
        return []
    for name in names:
        put, get = (getattr(library, name.replace("*", verb), None) for verb in ("set", "get"))
        if put is not None and get is not None:
            return [(_quiet(library, put, name.replace("*_num_threads", "get_parallel")), get)]
    return []


# The answer of OpenBLAS's `get_parallel` where its threads are its own, not those of OpenMP.
_OWN_THREADS = 1


def _quiet(library, put, kind):
    """Return what sets OpenBLAS's number of threads without starting any, given what sets it, and who tells its kind.

    After a fork it has no threads until it computes. Its own function starts them at once, and each new one looks for
    work for tens of milliseconds, on a core that others want.
    """
    import ctypes

    try:
        running, number = (ctypes.c_int.in_dll(library, name) for name in ("blas_server_avail", "blas_cpu_number"))
        if getattr(library, kind)() != _OWN_THREADS:
            return put
    except (AttributeError, ValueError):  # another library, or one that tells no such names
        return put

    def put_quietly(threads):
        if running.value:
            put(threads)
        else:
            number.value = threads

    return put_quietly
