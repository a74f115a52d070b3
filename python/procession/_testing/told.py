"""What is told of things that a block has left: what they are, whose, where they began."""

import gc
import subprocess
import sys
import tracemalloc

from procession._testing.belongings import command_of, doing, state_of
from procession._testing.names import is_of_program, place_of

TYPE_CHECKING = False  # checkers take it for true
if TYPE_CHECKING:
    from typing import Any

__all__ = ["text"]

_ADVICE = "nothing_left(trace=True), of pytest -o procession_trace=true, also tells where they were made."


def text(children, descriptors, threads, names) -> "tuple[str, frozenset[str]]":
    """Return a text about what is left, and which kinds of things it is.

    Args:
        children: pairs of process id and beginning.
        descriptors: what each leads to, by its number.
        threads: of `threading`.
        names: the place where each was made, by its path.
    """
    objects = _objects()
    told = [_of_pool(pool) for pool in objects["pool"]]
    told += [_of_process(pid, objects["process"].get(pid)) for pid, _ in sorted(children)]
    told += [_of_descriptor(number, target, objects) for number, target in sorted(descriptors.items())]
    told += [_of_thread(thread) for thread in sorted(threads, key=lambda thread: thread.name)]
    told += [("shared memory", f"the name {path}", place) for path, place in sorted(names.items())]
    lines = [f"  {what}" + (f", made at {place}" if place else "") for _, what, place in told]
    if not tracemalloc.is_tracing():
        lines.append(_ADVICE)
    return "left behind:\n" + "\n".join(lines), frozenset(kind for kind, _, _ in told)


def _objects() -> "dict[str, Any]":
    """Return the objects that may have what is left: pools; processes by id; what has a descriptor by its number."""
    found: dict[str, Any] = {"pool": [], "process": {}, "file": {}}
    pools = _classes("pool", "Pool")
    processes = _classes("process", "BaseProcess")
    role_of: dict[type, str] = {}  # there are many objects of few classes
    for thing in gc.get_objects():
        kind = type(thing)
        role = role_of.get(kind)
        if role is None:
            role = role_of[kind] = _role(kind, pools, (subprocess.Popen, *processes))
        if role == "nothing":
            continue
        try:
            if role == "pool":
                if thing._state == "RUN":
                    found[role].append(thing)
            elif role == "process":
                found[role].setdefault(thing.pid, thing)
            else:
                number = thing.fileno()
                known = found[role].setdefault(number, thing)
                if known is not thing and _is_within(known, thing):
                    found[role][number] = thing
        except Exception:  # half made, or closed
            continue
    return found


def _is_within(part, file):
    """Return whether one object of an open file is what the other reads and writes by."""
    while file is not None and file is not part:
        file = getattr(file, "buffer", None) or getattr(file, "raw", None)
    return file is part


def _role(kind, pools, processes):
    if issubclass(kind, pools):
        return "pool"
    if issubclass(kind, processes):
        return "process"
    return "file" if hasattr(kind, "fileno") else "nothing"


def _classes(module, name):
    """Return the classes of a name, of those of both libraries that are loaded."""
    found = (
        getattr(sys.modules.get(f"{library}.{module}"), name, None) for library in ("procession", "multiprocessing")
    )
    return tuple(kind for kind in found if kind is not None)


def _of_pool(pool):
    what = f"the pool {pool!r}, which is open: use it with `with`, or call terminate() and join()"
    return "pool", what, _made_at(pool)


def _of_process(pid, thing):
    state = state_of(pid)
    is_zombie = state is not None and state[0] == "Z"
    whose = "" if thing is None else f" of {thing!r}"
    if is_zombie:
        return "zombie", f"zombie {pid}{whose}: it has ended, and nobody has waited for it", _made_at(thing)
    command = command_of(pid)[:100]
    what = f"process {pid}{whose}, which {doing(pid)}" + (f": {command}" if command else "")
    return "process", what, _made_at(thing)


def _of_descriptor(number, target, objects):
    kind, name = "descriptor", "descriptor"
    if target.startswith("socket:"):
        kind, name = "socket", "socket, descriptor"
    elif target.startswith(("/memfd:", "/dev/shm/")):
        kind, name = "memory", "shared memory, descriptor"
    thing = objects["file"].get(number)
    whose = "" if thing is None else f" of {thing!r}"
    return kind, f"{name} {number} to {target}{whose}", _made_at(thing)


def _of_thread(thread):
    function = getattr(thread, "_target", None)
    code = getattr(function, "__code__", None)
    of = "" if code is None else f" of {code.co_qualname} ({code.co_filename}:{code.co_firstlineno})"
    at = place_of(sys._current_frames().get(thread.ident))
    return "thread", f"thread {thread.name!r}{of}" + (f", which is at {at}" if at else ""), _made_at(thread)


def _made_at(thing) -> str:
    """Return the place where an object was made, if memory is traced; the nearest one of the program."""
    if thing is None:
        return ""
    exact = _place(tracemalloc.get_object_traceback(thing), True)
    if exact:
        return exact
    # Of objects that have attributes some interpreters know it not, but they do of what a library has put into them.
    for part in gc.get_referents(thing):
        if not isinstance(part, type):
            place = _place(tracemalloc.get_object_traceback(part), False)
            if place:
                return place
    return ""


def _place(trace, may_be_direct) -> str:
    """Return the nearest place of the program, of one that it is itself only where that may be."""
    for number, frame in enumerate(reversed(trace or ())):
        if frame.filename.startswith("<frozen importlib"):
            return ""  # what a module has from the moment of its import, which tells nothing
        if is_of_program(frame.filename):
            return f"{frame.filename}:{frame.lineno}" if number or may_be_direct else ""
    return ""
