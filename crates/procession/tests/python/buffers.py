"""What the workers of Python pools call in the tests of large arrays."""

import os
import pathlib
import signal

HELD = []


def dispatch(order):
    """Call the function that the first of a tuple names with the others."""
    name, *rest = order
    return globals()[name](*rest)


def echo(value):
    return value


def every_second(array):
    """Return a view whose items do not lie in a row."""
    return array[:, ::2]


def read_only(array):
    array.setflags(write=False)
    return array


def flags(array):
    names = ("writeable", "aligned", "owndata", "c_contiguous", "f_contiguous")
    return tuple(bool(getattr(array.flags, name)) for name in names)


def raised(array):
    """Add one to all items where they lie; return their sum."""
    array += 1
    return float(array.sum())


def spoil_once(array, path):
    """Write to all items and die, the first time; return their sum."""
    path = pathlib.Path(path)
    if not path.exists():
        path.touch()
        array[:] = -1
        os.kill(os.getpid(), signal.SIGKILL)
    return float(array.sum())


def fail_after(array):
    """Return one array that can be sent and something that cannot."""
    return array, object()


def keep(array):
    HELD.append(array)


def held():
    """Return the sums of what was kept."""
    return [float(array.sum()) for array in HELD]


def let_go():
    HELD.clear()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def used():
    """Return how many bytes of memory the segments of the pool and of this worker have."""
    total = 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            if "memfd:procession-" in os.readlink(entry.path):
                total += os.stat(entry.path).st_blocks * 512
        except FileNotFoundError:  # that of the listing itself
            pass
    return total
