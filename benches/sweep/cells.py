"""The cells: which values go by which method, in which direction, under which start method."""

from typing import NamedTuple

from benches.sweep import objects, plain, tables
from benches.sweep.functions import FUNCTIONS, nothing, same
from benches.sweep.methods import CHANNELS, METHODS, through

START_METHODS = ("fork", "spawn", "forkserver")
# The loaders of `KINDS`, which name each kind once.
assert objects and tables
# Values of all kinds go as items and as results of these.
EACH_VALUE = ("map", "imap", "apply_async")
# And by these channels.
EACH_CHANNEL = ("queue", "simple_queue", "pipe")
# The kinds that go by every method, channel and start method.
USUAL = ("small_int", "text_1k", "dict_small", "dataclass", "array_1k")
MOST_BYTES, CHECKED_BYTES = 64 << 20, 1 << 20


class Cell(NamedTuple):
    """One workload.

    Attributes:
        method: a name of `METHODS` or of `CHANNELS`.
        direction: "items", "results", "both" or "function".
        subject: a kind of value, or the name of a function.
        start_method: "fork", "spawn" or "forkserver".
    """

    method: str
    direction: str
    subject: str
    start_method: str = "fork"

    @property
    def name(self):
        """The cell as one word."""
        return "/".join(self)

    @property
    def most(self):
        """The most values that are worth a measurement."""
        limit = 20_000 if self.method in CHANNELS else METHODS[self.method][1]
        return max(1, min(limit, MOST_BYTES // self._size))

    @property
    def checked(self):
        """For how many values results are checked where no time is taken."""
        return max(2, min(self.most, 100, CHECKED_BYTES // self._size))

    @property
    def _size(self):
        return 100 if self.direction == "function" else plain.KINDS[self.subject][1]

    def prepare(self, stage, count):
        """Return a call that does the work and gives its results, as a list; what it needs is ready."""
        if self.method in CHANNELS:
            stage.make_ready(self.subject, count)
            return lambda: through(stage, self.method, self.subject, count)
        run, _ = METHODS[self.method]
        function, items = self.task(count)
        return lambda: run(stage, function, items)

    def task(self, count):
        """The function of the tasks and their items."""
        if self.direction == "function":
            return FUNCTIONS[self.subject], range(count)
        if self.direction == "results":
            return maker(self.subject), range(count)
        items = [maker(self.subject)(number) for number in range(count)]
        return nothing if self.direction == "items" else same, items

    def expected(self, count):
        """The right results."""
        if self.method in CHANNELS:
            return [maker(self.subject)(number) for number in range(count)]
        function, items = self.task(count)
        return [function(item) for item in items]


def maker(kind):
    """The function that makes the values of a kind."""
    return plain.KINDS[kind][0]


def all_cells():
    """Every cell, each once, in a fixed order."""
    found = []
    for subject in plain.KINDS:
        for method in EACH_VALUE:
            found += [Cell(method, direction, subject) for direction in ("items", "results")]
        found += [Cell(channel, "results", subject) for channel in EACH_CHANNEL]
    for subject in USUAL:
        if subject not in plain.KINDS:
            continue
        for start_method in START_METHODS:
            for method in METHODS:
                found += [Cell(method, direction, subject, start_method) for direction in ("items", "both")]
            found += [Cell(channel, "results", subject, start_method) for channel in CHANNELS]
    for function in FUNCTIONS:
        found += [Cell(method, "function", function) for method in (*EACH_VALUE, "map_1", "executor_submit")]
    return list(dict.fromkeys(found))
