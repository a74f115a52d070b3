"""Functions that run on the nodes of a cluster."""

import itertools
import os
import random
import signal
import time

import numpy
import procession

counted = itertools.count()


def slow_square(number):
    time.sleep(0.05)
    return number * number


def slow_drawn(_):
    time.sleep(0.05)
    return drawn(_)


def drawn(*_):
    """Return what a task knows of itself, and draws."""
    task = procession.current_task()
    return task.index, task.function, task.tries, task.rng.random(), task.random.random()


def drawn_by_all(_):
    return procession.current_task().index, random.random(), numpy.random.random()


def drawn_at_second(_):
    if procession.current_task().tries == 0:
        procession.current_task().rng.random()
        raise OSError
    return drawn()


def worker(_):
    time.sleep(0.01)
    return procession.current_task().worker, procession.current_worker().index


def worker_and_variable(_):
    time.sleep(0.01)
    return procession.current_worker().index, os.environ["NUMBER"]


def nth(_):
    """Return how many times this worker was asked before."""
    return next(counted)


def hold(_):
    """Return the node, what of it this task holds, and from when until when."""
    begun = time.monotonic_ns()
    time.sleep(0.01)
    held = procession.current_task().resources
    return os.getppid(), held, os.environ["CARD"], begun, time.monotonic_ns()


def say_and_wait(number, event):
    procession.current_task().progress(number, 4, f"part {number}")
    return event.wait(60)


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_long(seconds):
    time.sleep(seconds)


def where(_):
    return os.getppid()


def not_there(path):
    open(path)


def missing_key(key):
    return {}[key]


def as_it_came(value):
    return value


def add_one(array):
    array += 1  # fails where it is read-only
    return array


def count_in(array, number):
    array[0] += 1
    return float(array[0])


def total(array, number):
    return float(numpy.sum(array)) + number
