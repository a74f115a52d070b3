"""emcee: a sampler that asks a pool for the densities of its walkers."""

import sys

import emcee
import numpy as np
import procession as multiprocessing


def density(place):
    return -0.5 * np.sum(place**2)


def chain(pool):
    np.random.seed(3)
    sampler = emcee.EnsembleSampler(8, 2, density, pool=pool)
    sampler.run_mcmc(np.random.randn(8, 2), 10)
    return sampler.get_chain()


if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert np.array_equal(chain(pool), chain(None))
