"""The end of a worker whose tasks have left threads that do not end.

A thread that is no daemon holds its process, and so whoever waits for the pool: the standard library does so for ever.
"""

import os
import sys
import warnings
from _thread import allocate_lock, start_new_thread

from procession._children import ending
from procession._pool.texts import task_name

__all__ = ["await_threads"]

# How long threads may go on after the last task of their worker.
GRACE_S = 5.0
# The most threads that a message names.
_MOST_NAMED = 5


def await_threads():
    """Wait for the threads of this worker as the interpreter does at its end, for `GRACE_S` seconds at most.

    Should they not have ended by then, warn of them, do all else that is done at the end, and end this process.
    """
    threading = sys.modules["threading"]
    ended = allocate_lock()
    ended.acquire()

    def watch():
        if ended.acquire(timeout=GRACE_S):
            return
        status = 1
        try:
            _warn(of_tasks(threading))
            ending.await_threads = int  # which returns at once
            status = ending.finish(0)
        finally:
            os._exit(status)

    start_new_thread(watch, ())
    # Tells the threads of executors, too, that they are to end.
    threading._shutdown()
    ended.release()


def of_tasks(threading):
    """Return the threads that hold this process, beside the main thread."""
    main = threading.main_thread()
    return [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]


def _warn(threads):
    named = ", ".join(f"{thread.name!r} (started by {_maker(thread)})" for thread in threads[:_MOST_NAMED])
    more = f" and {len(threads) - _MOST_NAMED} more" if len(threads) > _MOST_NAMED else ""
    text = (
        f"the worker was ended {GRACE_S:g} s after its last task, while threads that tasks had left went on: "
        f"{named}{more}; a task should wait for its threads, or make them daemons"
    )
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=1)
    except RuntimeWarning:  # a filter makes it an error, which belongs to no call here
        sys.stderr.write(f"{text}\n")


def _maker(thread):
    current, item = getattr(thread, "_made_by", None) or ((None, False), None)
    return "the initializer" if item is None or current[0] is None else task_name(*(*current, item))
