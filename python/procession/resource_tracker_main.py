"""The process that removes named resources which nobody removed."""

import signal
import sys

from procession.resource_tracker import _CLEANUP_FUNCS, _LONGEST_LINE

__all__ = []

READER = 3


def main():
    """Track what the inherited pipe says."""
    # It must outlive the processes it watches over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for stream in (sys.stdin, sys.stdout):
        try:
            stream.close()
        except (AttributeError, OSError, ValueError):
            pass
    sys.exit(track(READER))


def track(fd):
    """Follow the registrations on `fd` to its end, then remove what is left.

    Returns:
        Whether something was left, or a line was not understood: the exit status of this process.
    """
    faults = 0
    left = {}
    with open(fd, "rb") as pipe:
        # Longer lines are nobody's, and are not collected: what follows in them is told apart by the next line's end.
        while line := pipe.readline(_LONGEST_LINE):
            try:
                _follow(line, left)
            except Exception as error:
                faults += 1
                _say(f"cannot follow {line!r}: {error!r}")
    for kind, names in left.items():
        if names:
            faults += 1
            _say(f"There appear to be {len(names)} leaked {kind} objects to clean up at shutdown: {names}")
        for name in sorted(names):
            try:
                remove = _CLEANUP_FUNCS.get(kind)
                if remove is None:
                    raise ValueError(f"nothing is known of how a resource of the kind {kind!r} is removed")
                remove(name)
            except Exception as error:
                _say(f"{name!r}: {error}")
    return faults > 0


def _follow(line, left):
    if not line.endswith(b"\n"):
        raise ValueError("a line without an end")
    # Names may hold colons, commands and kinds do not.
    command, rest = line.strip().decode("ascii").split(":", 1)
    name, kind = rest.rsplit(":", 1)
    if command == "REGISTER":
        left.setdefault(kind, set()).add(name)
    elif command == "UNREGISTER":
        left[kind].remove(name)
    elif command != "PROBE":
        raise ValueError("unknown command")


def _say(text):
    try:
        print(f"resource_tracker: {text}", file=sys.stderr, flush=True)
    except (AttributeError, OSError, ValueError):
        pass
