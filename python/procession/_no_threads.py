"""The error of a thread that cannot be started, explained."""

import warnings

__all__ = ["explained", "tell_of_driver"]

_told = False


def explained(error):
    """Return a `RuntimeError` that says more than Python's own, which names neither limit nor call."""
    return RuntimeError(
        f"{error}: there are as many as `ulimit -u` or the control group (pids.max) allows, or a sandbox's filter "
        "of system calls answers clone3 with EPERM in the place of ENOSYS, so that the C library can make none: have "
        "clone3 allowed there, see docs/sandboxes.md"
    )


def tell_of_driver(error):
    """Warn, once, that pools are served while somebody waits for a result only."""
    global _told
    if _told:
        return
    _told = True
    warnings.warn(
        f"pools get no thread of their own ({explained(error)}): tasks go on while a caller waits for a result, "
        "and no callback is called",
        RuntimeWarning,
        stacklevel=4,
    )
