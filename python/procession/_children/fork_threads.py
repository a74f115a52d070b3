"""Which threads run beside the one that forks: what they hold stays held in the child, for ever.

Those of Python are known by name. Those of libraries show in `/proc` only, most under the name of the program; a
library that is known to survive a fork is counted off.
"""

import os
import sys
from _thread import _count
from time import monotonic, sleep

from procession._procession import lifeline_thread, unknown_threads

__all__ = ["others"]

# Threads of the package itself, which hold no lock that a child could miss.
QUIET_THREADS = {"PoolDriver", "PoolOutput", "PoolWatch", "resource sharer"}
# The engine's threads that watch queues.
_OWN_NAME = "procession-bell"
# Libraries that mend themselves in a forked child, by their files' names: threads that carry no name may be theirs.
_SURVIVORS = ("libarrow", "libomp", "libiomp", "libmkl")
# Objects that wait for their threads in a forked child, which has none.
_WAITING = {"libgomp": "libgomp", "libtbb": "libtbb"}
# The names of threads that survivors start.
_QUIET_NAMES = frozenset(("jemalloc_bg_thd",))

_MOMENT = 0.02
_stay = 0  # so many threads that are not known did not go

_seen = (0, 0, 0, [])  # how many threads were not known, and were Python's, how many modules, and what was found


def others():
    """Return the names of the threads that a child may miss, without the main thread and the one that runs."""
    threading = sys.modules.get("threading")
    names = []
    if threading is not None and _count():
        expected = (threading.current_thread(), threading.main_thread())
        names = [t.name for t in threading.enumerate() if t not in expected and t.name not in QUIET_THREADS]
    return names + _of_libraries(threading)


def _of_libraries(threading):
    global _seen
    known = _count()
    number = unknown_threads(known)
    if number > _stay:
        number, known = _settled(number)
    if not number:
        return []
    state = number, known, len(sys.modules)
    if _seen[:3] != state:
        _seen = (*state, _look(threading, number, {os.getpid(), lifeline_thread()}))
    return _seen[3]


def _settled(number):
    """Return how many threads are not known, and how many are Python's, once those have gone that are ending: the
    system counts them longer than Python. Those of libraries are waited for in vain, once."""
    global _stay
    limit, known = monotonic() + _MOMENT, _count()
    while number > _stay:
        if monotonic() > limit:
            _stay = number
            break
        sleep(0.0005)
        known = _count()
        number = unknown_threads(known)
    return number, known


def _look(threading, number, known):
    """Return the names of threads that are neither `known` nor Python's, of which there are so many."""
    if threading is not None:
        known |= {t.native_id for t in threading.enumerate()}
    own, named = _name("self"), []
    for thread in os.listdir("/proc/self/task"):
        if int(thread) not in known:
            name = _name(f"self/task/{thread}")
            if name == _OWN_NAME:  # counted off already
                continue
            if name and name != own:
                number -= 1
                named.append(name)
    named = sorted(name for name in set(named) - _QUIET_NAMES)
    number -= _of_openblas()
    if number <= 0:
        return named
    libraries = _libraries()
    waiting = sorted({_WAITING[piece] for piece in _WAITING if any(piece in library for library in libraries)})
    if waiting:
        return [*named, f"{number} of {' or '.join(waiting)}"]
    if any(library.startswith(_SURVIVORS) for library in libraries):
        return named
    return [*named, f"{number} of C libraries"]


def _name(process):
    try:
        with open(f"/proc/{process}/comm") as file:
            return file.read().strip()
    except OSError:  # it has ended
        return ""


def _of_openblas():
    """Return how many threads OpenBLAS has, which ends them before a fork."""
    from procession._children import math_threads

    return math_threads.of_openblas()


def _libraries():
    """Return the names of the files of libraries that are loaded."""
    from procession._children import math_threads

    return {os.path.basename(path) for path in math_threads._paths()}
