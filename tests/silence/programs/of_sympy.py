"""sympy: expressions as arguments and results."""

import sys

import procession as multiprocessing
import sympy

X = sympy.Symbol("x")


def integral(power):
    return sympy.integrate(X**power, X)


if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(integral, range(6)) == [integral(power) for power in range(6)]
        assert pool.map(sympy.factor, [X**2 - 1, X**3 - X]) == [sympy.factor(X**2 - 1), sympy.factor(X**3 - X)]
