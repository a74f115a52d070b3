"""Functions whose tasks know more than their worker does: their seed, their place in a map of which a part is run."""

import functools

from procession._pool import current, seeds

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["GloballySeeded", "Informed", "Starred", "everywhere", "informed"]


class Informed(current.Knowing, functools.partial):
    """A function that is called as it is; it brings along what its tasks are to know.

    Attributes:
        seed: the seed of the whole map, whose child with the number of its place a task has, or None.
        places: the place in the whole map of each item that is run, where those are only some; or None.
    """

    seed: "seeds.Seed | None" = None
    places: "Any" = None

    def __call__(self, /, *args, **kwargs):
        current.begin()
        return functools.partial.__call__(self, *args, **kwargs)

    def of(self, item: int) -> "tuple[int, seeds.Seed | None]":
        """Return the place in the whole map, and the seed, of the task with an item."""
        place = item if self.places is None else self.places[item]
        return place, None if self.seed is None else self.seed.child(place)

    def task_of(self, item: int, call: "int | None") -> "tuple[int, seeds.Seed | None]":
        """Return the index, and the seed, of a task: see `current.Knowing`."""
        place, seed = self.of(item)
        return place if call is None else call, seed


class GloballySeeded(Informed):
    """The same, and the global generators of the process are seeded before each call. They are left as they were where
    it is called in the program itself."""

    def __call__(self, /, *args, **kwargs):
        current.begin()
        seed = current.current_task()._seed
        if seed is None:
            return functools.partial.__call__(self, *args, **kwargs)
        before = None if current.in_worker() else seeds.states()
        seed.seed_globals()
        try:
            return functools.partial.__call__(self, *args, **kwargs)
        finally:
            if before is not None:
                seeds.restore(*before)


class Starred(functools.partial):
    """A function that is called with the parts of an item."""

    def __call__(self, item, /):
        return self.func(*item)


def informed(function, seed=None, places=None):
    """Return a function whose tasks know their seed and places as well."""
    made = function if isinstance(function, Informed) else Informed(function)
    if seed is not None:
        made.seed = seed
    if places is not None:
        made.places = places
    return made


def everywhere(function):
    """Return an informed function that finds the global generators seeded as well."""
    made = GloballySeeded(function.func, *function.args, **function.keywords)
    made.__dict__.update(function.__dict__)
    return made
