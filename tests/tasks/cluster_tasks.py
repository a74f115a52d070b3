"""Functions that run on the nodes of a cluster."""

import os
import signal
import time

import numpy


def slow_square(number):
    time.sleep(0.05)
    return number * number


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


def total(array, number):
    return float(numpy.sum(array)) + number
