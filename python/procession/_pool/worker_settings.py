"""What each worker of a pool is given of its own: environment, priority, CPUs, its share of them."""

from procession import _settings
from procession._children import math_threads
from procession._pool import cpus

__all__ = ["WorkerSettings"]


class WorkerSettings:
    """The settings of a pool's workers; each of the three may be a function of the worker's number, from 0.

    Args:
        count: how many workers there are.
        env: variables that are set, or removed where the value is None.
        nice: what is added to the priority's number.
        cpu_affinity: the numbers of the CPUs that may be used.

    Raises:
        TypeError, ValueError: one of them is not of its kind.
    """

    def __init__(self, count, env=None, nice=None, cpu_affinity=None):
        wishes = {"env": env, "nice": nice, "cpu_affinity": cpu_affinity}
        self._by_place = {name: wish for name, wish in wishes.items() if callable(wish)}
        self._common = _settings.check(**{name: wish for name, wish in wishes.items() if not callable(wish)})
        self.cpus = max(1, cpus.budget() // count)
        self._threads = math_threads.variables(self.cpus)

    def of(self, place):
        """Return the settings of worker number `place`, for `Process`."""
        own = _settings.check(**{name: wish(place) for name, wish in self._by_place.items()})
        wanted = {**self._common, **own}
        return {**wanted, "env": self._variables(wanted)}

    def limited(self):
        """Have this process use as few threads for numbers as a worker shall, while workers are forked."""
        if "env" in self._by_place or not math_threads.any_loaded():
            return math_threads.UNCHANGED
        return math_threads.limited(self._variables(self._common))

    def _variables(self, wanted):
        return {**math_threads.settable(self._threads), **wanted.get("env", {})}
