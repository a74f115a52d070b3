"""Programs with the faults that the warnings are about, to see that those come: `python FILE METHOD FAULT`."""

import random
import sys
import threading

import numpy as np
import procession as multiprocessing

THRESHOLD = 1
GENERATOR = np.random.default_rng()
DICE = random.Random()


def above(number):
    return number > THRESHOLD


def draw(_number):
    return GENERATOR.random()


def throw(_number):
    return DICE.randrange(6)


def main(method, fault):
    global THRESHOLD
    context = multiprocessing.get_context(method)
    THRESHOLD = 5
    if fault == "threads":
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    function = {"variable": above, "generator": draw, "random": throw, "threads": abs}[fault]
    with context.Pool(2) as pool:
        pool.map(function, range(8))


if __name__ == "__main__":
    main(*sys.argv[1:])
