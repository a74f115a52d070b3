"""Managers of a program's own types: with chosen methods, with a proxy of their own, of a generator, of a module."""

import operator
import sys
from multiprocessing import freeze_support, set_start_method
from multiprocessing.managers import BaseManager, BaseProxy


class Maths:
    def add(self, x, y):
        return x + y

    def mul(self, x, y):
        return x * y

    def _hidden(self):
        return "hidden"


class GeneratorProxy(BaseProxy):
    _exposed_ = ["__next__"]

    def __iter__(self):
        return self

    def __next__(self):
        return self._callmethod("__next__")


def squares():
    for i in range(5):
        yield i * i


def get_operator():
    return operator


class MyManager(BaseManager):
    pass


MyManager.register("Maths", Maths)
MyManager.register("Chosen", Maths, exposed=("mul", "_hidden"))
MyManager.register("squares", squares, proxytype=GeneratorProxy)
MyManager.register("operator", get_operator)

if __name__ == "__main__":
    freeze_support()
    set_start_method(sys.argv[1])
    with MyManager() as manager:
        maths = manager.Maths()
        print(maths.add(4, 3), maths.mul(7, 8), hasattr(maths, "_hidden"))
        chosen = manager.Chosen()
        print(chosen.mul(2, 3), chosen._hidden(), hasattr(chosen, "add"))
        print([i for i in manager.squares()])
        op = manager.operator()
        print(op.add(23, 45), op.pow(2, 10))

# prints:
# 7 56 False
# 6 hidden False
# [0, 1, 4, 9, 16]
# 68 1024
