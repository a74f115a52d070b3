"""Where a thread cannot be started: another way to start it, or the error explained."""

import warnings

from procession._procession import make_threads_by_clone

__all__ = ["explained", "start_all_the_same", "tell_of_driver"]

_told = False


def start_all_the_same(thread, error, is_ours):
    """Start a thread whose start has failed with `error`, where a sandbox refuses only the usual way to make one.

    Args:
        is_ours: whether the process is one of procession's own, whose privileges matter to no program.

    Raises:
        RuntimeError: it cannot be started; says more than `error`.
    """
    try:
        mended = make_threads_by_clone(is_ours)
    except OSError as failure:
        raise explained(error) from failure
    if not mended:
        raise explained(error) from error
    try:
        thread.start()
    except RuntimeError as again:
        raise explained(again) from again


def explained(error):
    """Return a `RuntimeError` that says more than Python's own, which names neither limit nor call."""
    return RuntimeError(
        f"{error}: there are as many as `ulimit -u` or the control group (pids.max) allows, or a sandbox's filter "
        "of system calls answers clone3 with EPERM in the place of ENOSYS, so that the C library can make none: have "
        "clone3 allowed there, see docs/sandboxes.md"
    )


def tell_of_driver(explanation):
    """Warn, once, that pools are served while somebody waits for a result only."""
    global _told
    if _told:
        return
    _told = True
    warnings.warn(
        f"pools get no thread of their own ({explanation}): tasks go on while a caller waits for a result, "
        "and no callback is called",
        RuntimeWarning,
        stacklevel=4,
    )
