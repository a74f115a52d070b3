"""Threads that do something at the same time, and have to come to its end."""

import contextlib
import sys
import threading
import time
import traceback

THREADS = 8
LIMIT_S = 100
# With an interpreter lock, threads take turns that often.
_SWITCH_S = 1e-4


def at_once(*functions):
    """Call each function in a thread of its own, all from the same moment on; return what they return, in order.

    Raises:
        AssertionError: some raised, or have not come to an end within `LIMIT_S`; the text says where they are.
    """
    begin = threading.Barrier(len(functions))
    answers, faults = [None] * len(functions), []

    def run(index, function):
        try:
            begin.wait(LIMIT_S)
            answers[index] = function()
        except BaseException:  # a panic of native code is none of Exception
            faults.append(traceback.format_exc())

    threads = [
        threading.Thread(target=run, args=(index, function), daemon=True) for index, function in enumerate(functions)
    ]
    with _short_turns():
        for thread in threads:
            thread.start()
        end = time.monotonic() + LIMIT_S
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
    faults += [_place_of(thread) for thread in threads if thread.is_alive()]
    assert not faults, "\n".join(faults)
    return answers


def eight(function):
    """Call `function(number)` in eight threads at once; return what they return."""
    return at_once(*(lambda number=number: function(number) for number in range(THREADS)))


def _place_of(thread):
    frame = sys._current_frames().get(thread.ident)
    return f"{thread.name} has not come to its end:\n{''.join(traceback.format_stack(frame))}"


@contextlib.contextmanager
def _short_turns():
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
