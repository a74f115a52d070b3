"""The options `seed` and `seed_globals`: random numbers that depend on the place of a task alone."""

import itertools

from procession._pool import informed
from procession._pool.seeds import Seed

__all__ = ["Everywhere", "OfPool", "check", "take"]


class OfPool:
    """The seed of a pool, of which each call has a child, by its number.

    Args:
        seed: a `Seed`.
    """

    def __init__(self, seed):
        self._seed = seed
        self._numbers = itertools.count()

    def next(self):
        """Return the seed of the next call."""
        return self._seed.child(next(self._numbers))


def check(seed):
    """Return the seed of a pool.

    Raises:
        TypeError, ValueError: it is none.
    """
    return None if seed is None else OfPool(Seed.of(seed))


def take(call, seed):
    """Have the tasks of a call draw from children of a seed, None for none.

    Raises:
        TypeError, ValueError: it is no seed.
        NotImplementedError: the crew does not know the places of its tasks where they run.
    """
    if seed is not None:
        if "seed" not in call.pool._crew.offers:
            call.pool._crew.refuse("seed")
        call.inform(seed=seed.next() if type(seed) is OfPool else Seed.of(seed))


class Everywhere:
    """The option `seed_globals`."""

    @staticmethod
    def check(value):
        """Look at the value for a whole pool.

        Raises:
            TypeError: it is none.
        """
        if not isinstance(value, bool):
            raise TypeError(f"seed_globals must be True or False, not {value!r}")

    @staticmethod
    def take(call, value):
        """Have the global generators seeded, too.

        Raises:
            ValueError: there is no seed.
            NotImplementedError: the workers share them.
        """
        Everywhere.check(value)
        if not value:
            return
        crew = call.pool._crew
        if "seed_globals" not in crew.offers:
            crew.refuse("global generators of its own for each task (seed_globals)")
        if call.options.get("seed") is None:
            raise ValueError("seed_globals=True needs a seed: give seed=, too")
        call.function = informed.everywhere(call.function)
