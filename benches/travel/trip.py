"""Sends one value there and back, by the standard library and procession in turns.

`python -m benches.travel.trip NAME fork` prints what was found as JSON, of each library:
`argument_s` and `result_s`, the times; `argument_copies` and `result_copies`, the memory that one way took at most,
in units of the size, if that is asked for; `lost`, what did not arrive as plain pickle makes it; `failed`, an error.
"""

import argparse
import importlib
import json
import os
import time

from benches.libraries import OURS, STANDARD
from benches.travel import worker
from benches.travel.facts import facts, lost
from benches.travel.values import MIB, make

LIMIT_S = 60


class Traveller:
    """A pool of one worker of a library, and what was found with it."""

    def __init__(self, library, start_method):
        self._pool = importlib.import_module(library).get_context(start_method).Pool(1)
        self.found = {"argument_s": [], "result_s": [], "lost": []}

    def call(self, function, *arguments):
        """Call a function in the worker."""
        return self._pool.apply_async(function, arguments).get(LIMIT_S)

    def check(self, name, mib, value):
        """Look at what arrives on both ways, beside what plain pickle makes."""
        before, expected = facts(value), self.call(worker.prepare, name, mib)
        here, there = facts(self.call(worker.give)), self.call(worker.tell, value)
        own = [f"the sender's own {word}" for word in lost(facts(value), before)]
        self.found["kept"] = list(expected)
        self.found["lost"] = sorted({*lost(here, expected), *lost(there, expected), *own})

    def weigh(self, function, *arguments):
        """Measure the memory that one way of the value takes."""
        sends = bool(arguments)
        self.call(worker.begin)
        worker.begin()
        arrived = self.call(function, *arguments)
        here = worker.taken(shared_too=sends)
        there = self.call(worker.taken, not sends)
        del arrived
        return here + there

    def time(self, way, function, *arguments):
        """Take the time of one way of the value."""
        began = time.perf_counter()
        arrived = self.call(function, *arguments)
        self.found[f"{way}_s"].append(time.perf_counter() - began)
        del arrived


def trip(name, start_method, mib, pairs, weigh=None):
    """Send a value of so many MiB there and back, once to look at it, and in pairs for the times.

    Args:
        weigh: instead of all that, the way whose memory is measured: before anything can be used again.
    """
    # Before the value and its library are there: a forked worker has neither the one nor threads of the other.
    travellers = {library: Traveller(library, start_method) for library in (STANDARD, OURS)}

    def in_turns(step):
        for traveller in travellers.values():
            if "failed" not in traveller.found:
                try:
                    step(traveller)
                except Exception as error:
                    traveller.found["failed"] = f"{type(error).__name__}: {error}"[:500]

    def weighed(traveller):
        traveller.call(worker.prepare, name, mib)
        # One for each: a tensor that has travelled once lies in shared memory from then on.
        # And a result meets the library here, which takes memory when it is imported.
        value = make(name, mib)
        call = (worker.take, value) if weigh == "argument" else (worker.give,)
        traveller.found = {f"{weigh}_copies": traveller.weigh(*call) / (mib << 20)}

    if weigh:
        in_turns(weighed)
        return {library: traveller.found for library, traveller in travellers.items()}
    value = make(name, mib)
    ways = {"argument": (worker.take, value), "result": (worker.give,)}
    in_turns(lambda traveller: traveller.check(name, mib, value))
    for _ in range(pairs):
        for way, call in ways.items():
            in_turns(lambda traveller, way=way, call=call: traveller.time(way, *call))
    return {library: traveller.found for library, traveller in travellers.items()}


def main():
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benches.travel.trip", description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("start_method")
    parser.add_argument("--mib", type=int, default=MIB)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--weigh", choices=("argument", "result"))
    options = parser.parse_args()
    print(json.dumps(trip(**vars(options))), flush=True)
    os._exit(0)  # a pool that hangs is ended by who has started this


if __name__ == "__main__":
    main()
