"""Functions of every form that tasks have: each takes an item and gives what the check expects."""

import functools
import math
import operator
from fractions import Fraction

from benches.sweep.objects import Plain


def nothing(item):
    """The task of cells that are about items: it takes one and gives nothing."""


def same(item):
    """The task of cells that are about the way there and back."""
    return item


def square(number):
    return number * number


def short_sum(number):
    """Some 20 microseconds of work."""
    return sum(range(number % 100 + 1000))


def add(number, other=0):
    return number + other


def one_of_two(number):
    """Half of the results are None."""
    return number if number % 2 else None


@functools.lru_cache
def remembered(number):
    return number * 2


def weighted(number, *, weights):
    """A function that is bound to a table."""
    return weights[number % len(weights)]


class Adder:
    """A callable object with a little state."""

    def __init__(self, number):
        self.number, self.weights = number, list(range(100))

    def __call__(self, number):
        return number + self.number

    def method(self, number):
        return number - self.number

    @classmethod
    def of_class(cls, number):
        return number + 1

    @staticmethod
    def static(number):
        return number + 2


# By name; each is called with 0, 1, 2 ...
FUNCTIONS = {
    "function": square,
    "work_of_20_us": short_sum,
    "half_none": one_of_two,
    "partial": functools.partial(add, other=3),
    "partial_of_a_builtin": functools.partial(operator.add, 5),
    "callable_object": Adder(5),
    "method": Adder(5).method,
    "class_method": Adder.of_class,
    "static_method": Adder.static,
    "partial_of_a_table": functools.partial(weighted, weights=list(range(1000))),
    "partial_of_a_method": functools.partial(Adder(5).method),
    "remembered": remembered,
    "method_of_a_dict": {number: str(number) for number in range(100)}.get,
    "builtin": abs,
    "builtin_text": str,
    "math_sqrt": math.sqrt,
    "operator_neg": operator.neg,
    "class_fraction": Fraction,
    "class_own": Plain,
    "class_complex": complex,
}
