"""What workers run that somebody looks at."""

import os
import threading
import time

from procession import current_task

_go = None


def use(event):
    """Initializer: what tasks wait for."""
    global _go
    _go = event


def held(number):
    """Run until the test lets it go."""
    assert _go.wait(60)
    return number


def held_too(number):
    return held(number)


def raise_odd(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def nap(number):
    """Take so long that what it is given is shown for the next one."""
    time.sleep(0.02)
    if number == "last":
        assert _go.wait(60)
    return number


def crash(number):
    import ctypes

    ctypes.string_at(0)


class Named:
    """A function of any name."""

    def __init__(self, name):
        self.__qualname__ = name

    def __call__(self, number):
        return number


def named(name):
    return Named(name)


def say(number):
    """Say how far it is, and wait."""
    task = current_task()
    task.progress(3, 9, f"loss 0.{number}")
    if _go is not None:
        assert _go.wait(60)
    return bool(task), task.function, task.index, repr(task)


def fork_and_say(number):
    """What a process that a task forks knows of the task: nothing."""
    pid = os.fork()
    if pid == 0:
        task = current_task()
        task.progress(1)
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        os._exit(0 if task.index is None else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
