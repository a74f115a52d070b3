"""Tasks that draw random numbers, of their own and of the global generators."""

import os
import random
import signal
from pathlib import Path

import numpy
from procession import current_task


def draw(_):
    """A number of each of the task's two generators, asked for again and again."""
    task = current_task()
    first = task.rng.integers(2**32)
    if task._seed is not None:
        assert current_task().rng is task.rng and current_task().random is task.random
    return int(first), task.random.getrandbits(32), task.index


def draw_two(first, second):
    return draw(first + second)


def draw_at_second_try(path):
    """Draw a number and kill the worker, or fail, at the first try."""
    number = draw(0)
    if not os.path.exists(path):
        Path(path).touch()
        if path.endswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(path)
    return number


def draw_globally(_):
    return random.getrandbits(32), int(numpy.random.randint(2**31))


def draw_in_thread(_):
    """The generators of a task are its own in its threads, too."""
    import threading

    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(int(current_task().rng.integers(2**32))))
    thread.start()
    thread.join()
    return drawn[0]
