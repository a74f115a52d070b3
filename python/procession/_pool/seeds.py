"""Random numbers that depend on the task, and not on who runs it."""

import importlib
import operator
import sys

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import random
    from typing import Any

    import numpy

__all__ = ["Seed", "restore", "states"]

# How large the pool of a `SeedSequence` is unless somebody says otherwise.
_POOL_SIZE = 4


class Seed:
    """What a task, or a whole map, draws its random numbers from: equal to numpy's `SeedSequence(entropy,
    spawn_key=key)`.

    Args:
        entropy: an integer, or a tuple of them.
        key: which of the children of children of `entropy` it is.
    """

    __slots__ = ("entropy", "key")

    def __init__(self, entropy: "int | tuple[int, ...]", key: tuple[int, ...] = ()) -> None:
        self.entropy = entropy
        self.key = key

    @classmethod
    def of(cls, seed: "Any") -> "Seed":
        """Return the seed that somebody has given: an integer, several, a `SeedSequence`.

        Raises:
            TypeError, ValueError: it is none.
        """
        if type(seed) is cls:
            return seed
        if hasattr(seed, "spawn_key") and hasattr(seed, "entropy"):
            if getattr(seed, "pool_size", _POOL_SIZE) != _POOL_SIZE:
                raise ValueError(f"the pool_size of a seed must be {_POOL_SIZE}, not {seed.pool_size}")
            entropy, key = seed.entropy, tuple(seed.spawn_key)
        else:
            entropy, key = seed, ()
        if isinstance(entropy, str | bytes) or not hasattr(entropy, "__index__") and not hasattr(entropy, "__iter__"):
            raise TypeError(f"seed must be an integer, several, or a numpy.random.SeedSequence, not {seed!r}")
        several = None if hasattr(entropy, "__index__") else tuple(entropy)
        try:
            numbers = [operator.index(number) for number in (several or (entropy,))]
        except TypeError:
            raise TypeError(f"seed must be an integer, several, or a numpy.random.SeedSequence, not {seed!r}") from None
        if any(number < 0 for number in numbers):
            raise ValueError(f"a seed must be 0 or more, not {seed!r}")
        return cls(numbers[0] if several is None else tuple(numbers), key)

    def child(self, number: int) -> "Seed":
        """Return the seed of a part, from 0: what `SeedSequence.spawn` gives at that place."""
        return Seed(self.entropy, (*self.key, number))

    def __repr__(self) -> str:
        return f"Seed({self.entropy}, {self.key})"

    def __eq__(self, other: object) -> bool:
        return type(other) is Seed and (self.entropy, self.key) == (other.entropy, other.key)

    def __hash__(self) -> int:
        return hash((self.entropy, self.key))

    def __reduce__(self) -> "tuple[Any, ...]":
        return Seed, (self.entropy, self.key)

    @property
    def text(self) -> str:
        """What Python's own generators are seeded with: the numbers, a different text for each seed."""
        return f"{self.entropy}/{'/'.join(map(str, self.key))}"

    def sequence(self) -> "numpy.random.SeedSequence":
        """Return it as numpy has it."""
        from numpy.random import SeedSequence

        return SeedSequence(self.entropy, spawn_key=self.key)

    def rng(self) -> "numpy.random.Generator":
        """Return a generator of numpy."""
        from numpy.random import default_rng

        return default_rng(self.sequence())

    def random(self) -> "random.Random":
        """Return a generator of Python's own, which needs no numpy."""
        from random import Random

        return Random(self.text)

    def seed_globals(self) -> None:
        """Seed the generators behind the functions of `random`, and of `numpy.random` where there is numpy."""
        import random

        random.seed(self.text)
        numbers = _numpy_random()
        if numbers is not None:
            numbers.seed(self.sequence().generate_state(_POOL_SIZE))


def _numpy_random():
    """Return `numpy.random`, None without numpy: a task that imports it finds it seeded as well."""
    try:
        return importlib.import_module("numpy.random")
    except ImportError:
        return None


def states():
    """Return the states of the global generators, for `restore`."""
    import random

    numbers = _numpy_random()
    return random.getstate(), None if numbers is None else numbers.get_state()


def restore(state, numbers_state):
    """Have the global generators in states that they were in before."""
    import random

    random.setstate(state)
    if numbers_state is not None:
        sys.modules["numpy.random"].set_state(numbers_state)
