"""Tasks that go on once somebody has seen how far they are."""

import time

from procession import current_task

LIMIT_S = 60
_kept = []


def keep(event):
    _kept[:] = [event]


def third_waits(number):
    """Of each three the last goes on once the event is set. None is so short that it is not counted alone."""
    time.sleep(0.002)
    if number % 3 == 2 and not _kept[0].wait(LIMIT_S):
        raise TimeoutError("nobody has seen that two of three have run")
    return number


def third_tells_and_waits(number):
    current_task().progress(number, 9, "at work")
    return third_waits(number)


def told(number):
    """Say how far it is, go on once that was seen, and return what the task knows of itself."""
    task = current_task()
    task.progress(number + 1, 4, f"part {number}")
    if not _kept[0].wait(LIMIT_S):
        raise TimeoutError("nobody has seen it")
    return task.function, task.index, task.worker, current_task() is task, task.tries


def tried(number):
    task = current_task()
    if task.tries < 2:
        raise OSError("try again")
    return task.tries, task.deadline is not None
