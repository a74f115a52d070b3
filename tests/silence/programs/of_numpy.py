"""numpy: rows of a matrix, each task with a generator of its own."""

import sys

import numpy as np
import procession as multiprocessing


def mean_of(seed):
    return float(np.random.default_rng(seed).normal(size=1000).mean())


def norm(row):
    return float(np.linalg.norm(row))


if __name__ == "__main__":
    matrix = np.arange(200.0).reshape(20, 10)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(norm, matrix) == [norm(row) for row in matrix]
        seeds = np.random.SeedSequence(7).spawn(6)
        assert len(set(pool.map(mean_of, seeds))) == 6
