"""Programs whose threads are green: gevent or eventlet has replaced `threading`, `select` and others of their kind.

Such threads are functions that take turns in one thread of the system, where a wait begins. A wait in compiled code
stops all of them, and so those that it waits for: here one waits by what the library has put into `select`.
"""

import os

__all__ = ["status_of", "wait", "watch_child"]


def wait(files, seconds):
    """Wait until one of `files`, pairs of a descriptor and whether it is to be written to, is ready, at most `seconds`
    (None: no limit), while other green threads run; return the places of those that are.

    Raises:
        OSError: the system's, as `select.select` does.
    """
    import select

    # Two waits for one descriptor are more than some of these libraries allow.
    copies = [os.dup(number) for number, _ in files]
    try:
        reads = [copy for copy, (_, writes) in zip(copies, files, strict=True) if not writes]
        writes = [copy for copy, (_, writes) in zip(copies, files, strict=True) if writes]
        readable, writable, _ = select.select(reads, writes, [], seconds)
    finally:
        for copy in copies:
            os.close(copy)
    ready = {*readable, *writable}
    return [place for place, copy in enumerate(copies) if copy in ready]


def watch_child(pid):
    """Have gevent keep the exit status of a child that it does not know: it may collect the statuses of all of them."""
    import sys

    if (module := sys.modules.get("gevent.os")) is not None and hasattr(module, "fork_and_watch"):
        module.fork_and_watch(fork=lambda: pid)


def status_of(pid):
    """Return the exit status of a child that gevent has collected, None where it has not."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except OSError:
        return None
