"""scipy: a global optimisation whose objective is called by a pool, as its `workers` argument has it."""

import sys

import procession as multiprocessing
from scipy import integrate, optimize


def area(limit):
    return integrate.quad(lambda x: x * x, 0, limit)[0]


if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        found = optimize.differential_evolution(
            optimize.rosen, [(-2, 2)] * 2, seed=1, maxiter=8, polish=False, updating="deferred", workers=pool.map
        )
        alone = optimize.differential_evolution(
            optimize.rosen, [(-2, 2)] * 2, seed=1, maxiter=8, polish=False, updating="deferred"
        )
        assert (found.x == alone.x).all()
        assert pool.map(area, [1.0, 2.0, 3.0]) == [area(limit) for limit in (1.0, 2.0, 3.0)]
