"""`resources=`: units of what a pool has few of, such as graphics cards, that tasks hold while they run."""

import os

from procession import _checks
from procession._pool import wishes

__all__ = ["Resources", "take"]

MOST_KINDS = 255
MOST_UNITS = 2**16 - 1


class Resources:
    """The units of a pool, of each kind numbered from 0; and which of them the task holds that runs in this process.

    Those of a pool on a cluster are the units of each node.

    Args:
        counts: how many there are, by the names of the kinds.
        shown_in: the names of environment variables, by the kinds whose numbers they show to a task.

    Raises:
        TypeError, ValueError: it makes no sense.
    """

    def __init__(self, counts, shown_in):
        self.counts = _counted(counts, "resources")
        if len(self.counts) > MOST_KINDS:
            raise ValueError(f"resources has {len(self.counts)} kinds: there may be {MOST_KINDS}")
        self.shown_in = dict(shown_in or {})
        for kind, variable in self.shown_in.items():
            if kind not in self.counts:
                raise ValueError(f"resource_env names {kind!r}, of which the pool has none: resources={self.counts}")
            if not isinstance(variable, str):
                raise TypeError(f"resource_env must have names of variables, not {variable!r}")
        self._held: dict[str, tuple[int, ...]] = {}

    def check_names(self):
        """Raise ValueError where this program, whose workers are here, was shown fewer units than there are to be."""
        for kind in self.shown_in:
            self._names(kind)

    def _names(self, kind):
        """Return the names of the units of a kind: what this program was shown, else their numbers."""
        count = self.counts[kind]
        shown = [name.strip() for name in os.environ.get(self.shown_in[kind], "").split(",") if name.strip()]
        if not shown:
            return [str(number) for number in range(count)]
        if len(shown) < count:
            variable = self.shown_in[kind]
            raise ValueError(f"resources has {count} of {kind!r}, but {variable}={','.join(shown)} names {len(shown)}")
        return shown[:count]

    def needs(self, counts):
        """Return what the engine is told of a task that holds so many units of the kinds.

        Raises:
            TypeError, ValueError: the pool has no such kind, or not so many.
        """
        kinds = list(self.counts)
        wanted = _counted(counts, "resources")
        for kind, count in wanted.items():
            if count > self.counts.get(kind, 0):
                raise ValueError(
                    f"a task cannot have {count} of {kind!r}: the pool has {self.counts.get(kind, 0)}, as given to "
                    f"Pool(resources={self.counts})"
                )
        return tuple(sorted((kinds.index(kind), count) for kind, count in wanted.items() if count))

    def most_of(self, needs):
        """Return how many tasks can run at once that hold what `needs` returned, which is something."""
        counts = list(self.counts.values())
        return min(counts[kind] // count for kind, count in needs)

    # -- in a worker ------------------------------------------------------------------------------------------------

    def begin(self):
        """Show a worker none, as long as it holds none."""
        self._shown = {kind: self._names(kind) for kind in self.shown_in}
        self.hold(())

    def hold(self, units):
        """The tasks that come hold these units: pairs of the number of a kind and a number of its units."""
        kinds = list(self.counts)
        held: dict[str, tuple[int, ...]] = {}
        for kind, number in sorted(units):
            held[kinds[kind]] = (*held.get(kinds[kind], ()), number)
        self._held = held
        for kind, variable in self.shown_in.items():
            os.environ[variable] = ",".join(self._shown[kind][number] for number in held.get(kind, ()))

    def held(self):
        """Return the numbers of the units that the task holds which runs, by their kinds."""
        return dict(self._held)


def _counted(counts, what):
    if not hasattr(counts, "items"):
        raise TypeError(f"{what} must be a mapping such as {{'gpu': 2}}, not {counts!r}")
    for kind, count in counts.items():
        if not isinstance(kind, str):
            raise TypeError(f"{what} must have names of kinds, not {kind!r}")
        if not 0 <= _checks.whole(count, f"the number of {kind!r}") <= MOST_UNITS:
            raise ValueError(f"the number of {kind!r} must be from 0 to {MOST_UNITS}, not {count}")
    return {kind: int(count) for kind, count in counts.items()}


def take(call, value):
    """Have each task of a call hold units while it runs.

    Raises:
        TypeError, ValueError: the pool does not have them.
    """
    if value is None:
        return
    resources = call.pool._crew.resources
    if resources is None:
        raise ValueError(f"this pool has no resources: make it with Pool(resources={value!r}) or more")
    needs = resources.needs(value)
    if needs:
        wishes.change(call, needs=needs)
