"""deap: an evolution whose toolbox maps over a pool, as its documentation has it."""

import random
import sys

import procession as multiprocessing
from deap import algorithms, base, creator, tools

creator.create("Most", base.Fitness, weights=(1.0,))
creator.create("Individual", list, fitness=creator.Most)


def ones(individual):
    return (sum(individual),)


TOOLBOX = base.Toolbox()
TOOLBOX.register("bit", random.randint, 0, 1)
TOOLBOX.register("individual", tools.initRepeat, creator.Individual, TOOLBOX.bit, 20)
TOOLBOX.register("population", tools.initRepeat, list, TOOLBOX.individual)
TOOLBOX.register("evaluate", ones)
TOOLBOX.register("mate", tools.cxTwoPoint)
TOOLBOX.register("mutate", tools.mutFlipBit, indpb=0.05)
TOOLBOX.register("select", tools.selTournament, tournsize=3)

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        TOOLBOX.register("map", pool.map)
        random.seed(2)
        population, _ = algorithms.eaSimple(TOOLBOX.population(n=20), TOOLBOX, 0.5, 0.2, 4, verbose=False)
    assert max(map(sum, population)) > 10
