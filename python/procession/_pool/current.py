"""The task that runs here: what it is, and how far it says it is."""

import os
import sys
from _thread import _local

TYPE_CHECKING = False  # what checkers take for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    import random
    from typing import Any

    import numpy

    from procession._pool.informed import Informed
    from procession._pool.seeds import Seed

__all__ = ["Knowing", "Task", "Worker", "current_task", "current_worker"]

# What a thread of the program itself computes, a `jobs.Spot`; and the worker that it is: of a crew of threads, or the
# serial one.
here: "Any" = _local()
# In a worker: how many items of the chunk have run that its task is, before what it says of itself.
_behind = ""
# In a worker: the task that was asked for last, if its function is informed, with what was made for it.
_last: "Task | None" = None


class Task:
    """A task that runs in this process; where none does, a quiet one, so that its function also runs serially.

    Attributes:
        function: the name of what is called, an empty text where no task runs.
        index: its place in its map, or the number of the call among those of the pool, from 0; None where no task runs.
        tries: how often it was tried before, with `retries`.
        deadline: until when it may run, by `time.monotonic()`; None without a `timeout`.
        worker: the number of its worker, from 0, which the worker's successor has, too; None where no task runs.
    """

    _rng = _random = None

    def __init__(
        self,
        function: str = "",
        index: int | None = None,
        interrupts: "Any" = None,
        item: tuple[int, int] | None = None,
        worker: int | None = None,
        deadline: float | None = None,
        tries: int = 0,
        seed: "Seed | None" = None,
    ) -> None:
        self._seed = seed
        self.function = function
        self.index = index
        self.worker = worker
        self.deadline = deadline
        self.tries = tries
        self._interrupts = interrupts
        self._item = item
        self._pid = os.getpid()

    def __bool__(self) -> bool:
        return self.index is not None

    def __repr__(self) -> str:
        return f"<task {self.function}[{self.index}]>" if self else "<no task>"

    @property
    def rng(self) -> "numpy.random.Generator":
        """A random generator of numpy for this task alone: the same numbers in each run, whoever runs it and however
        often it is tried, where `seed=` was given; else seeded by the system. It is made when it is first asked for."""
        if self._rng is None:
            from numpy.random import default_rng

            self._rng = default_rng() if self._seed is None else self._seed.rng()
        return self._rng

    @property
    def random(self) -> "random.Random":
        """A generator of `random`'s kind, seeded as `rng`, which needs no numpy."""
        if self._random is None:
            from random import Random

            self._random = Random() if self._seed is None else self._seed.random()
        return self._random

    @property
    def resources(self) -> dict[str, tuple[int, ...]]:
        """The numbers of the units that the task holds, by their kinds: see `resources=` of `Pool`."""
        worker = sys.modules.get("procession._pool.worker")
        resources = worker.Portable.resources if worker is not None and self else None
        return {} if resources is None else resources.held()

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Say how far the task is, for who looks: `progress=` of its map and `procession top` among others. Takes a
        microsecond, never waits.

        The last call counts, so it may be called as often as one likes. Where no task runs, or another one by now, it
        does nothing.

        Args:
            done: how much is done.
            total: of how much, if that is known.
            text: what is done now, such as `"loss 0.25"`, of which 32 bytes are shown.

        Raises:
            TypeError: a number is none.
        """
        done, total = float(done), None if total is None else float(total)
        interrupts = self._interrupts
        if interrupts is not None and self._pid == os.getpid() and interrupts.item() == self._item:
            interrupts.say(done, total, _behind + ("" if text is None else str(text)))


class Knowing:
    """A function that knows more of its tasks than their worker does."""

    def place_of(self, item: int) -> int:
        """Return the place in the job of its program of an item of the job that its worker knows."""
        return item

    def task_of(self, item: int, call: int | None) -> "tuple[int, Seed | None]":
        """Return the index, and the seed, of the task with an item of those that its worker knows.

        Args:
            call: the number of the call, as its worker knows it, None in a map.
        """
        raise NotImplementedError


def current_task() -> Task:
    """Return the task that runs in this process, a quiet one where none does."""
    global _last
    spot = getattr(here, "task", None)
    if spot is not None and spot[0] == os.getpid():
        return spot[1].task_at(spot)
    worker: Any = sys.modules.get("procession._pool.worker")
    tasks = getattr(worker, "_tasks", None)
    if tasks is None or tasks[3] != os.getpid():
        return Task()
    (function, is_call), interrupts = tasks[0], tasks[1]
    item = interrupts.item()
    if item is None or function is None:
        return Task()
    from procession._pool.texts import function_name

    job, index = item
    if not isinstance(function, Knowing):
        return Task(function_name(function), job - 1 if is_call else index, interrupts, item, *interrupts.given())
    task = _last
    if task is None or task._item != item or task._pid != os.getpid():
        index, seed = function.task_of(index, job - 1 if is_call else None)
        _, *given = interrupts.given()
        task = _last = Task(function_name(function), index, interrupts, item, worker._place, *given)
        task._seed = seed
    return task


def as_informed(function: "Any") -> "Informed | None":
    """Return a function that brings along what its tasks are to know, None for any other."""
    informed = sys.modules.get("procession._pool.informed")
    return function if informed is not None and isinstance(function, informed.Informed) else None


def begin() -> None:
    """A task of an informed function begins, or is tried again: what was made for the one before is not its own."""
    global _last
    _last = None


def go_on(task: Task, items: int, size: int) -> None:
    """Note how many items have run of the chunk that a task is: 0 when it begins, all of them when it has ended."""
    global _behind
    _behind = ""
    task.progress(items, size, "items")
    _behind = f"{items}/{size}: " if items < size else ""


def items_of(said: "Any", size: int) -> "tuple[int, Any]":
    """Return how many items of a chunk of `size` have run by what its task says, 0 if by none, and the rest."""
    if said is None:
        return 0, None
    done, total, text = said
    if text == "items" and total == size:
        return min(int(done), size), None
    count, _, rest = text.partition(": ")
    items, _, most = count.partition("/")
    return (int(items), (done, total, rest)) if items.isdecimal() and most == str(size) else (0, said)


def in_worker() -> bool:
    """Return whether this process is a worker of a pool."""
    tasks = getattr(sys.modules.get("procession._pool.worker"), "_tasks", None)
    return tasks is not None and tasks[3] == os.getpid()


class Worker:
    """A worker of a pool, as it sees itself; where none works, a quiet one, so that functions also run serially.

    Attributes:
        index: which of its pool it is, from 0, None for a quiet one. The one that replaces another has its index.
        state: a namespace of its own, for what the initializer opens, tasks use, and the finalizer closes. It ends with
            the worker, and is shared with no other.
    """

    def __init__(self, index: int | None = None) -> None:
        from types import SimpleNamespace

        self.index = index
        self.state: Any = SimpleNamespace()
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return "<no worker>" if self.index is None else f"<worker {self.index}>"


class As:
    """Has a thread be a worker for a while, unless it is one already.

    Args:
        worker: which.
    """

    def __init__(self, worker):
        self._worker = worker
        self._is_new = False

    def __enter__(self):
        if getattr(here, "worker", None) is None:
            here.worker, self._is_new = self._worker, True

    def __exit__(self, kind, error, traceback):
        if self._is_new:
            here.worker = None


# That of this process.
_own: "Worker | None" = None


def current_worker() -> Worker:
    """Return the worker that this is, a quiet one where none works."""
    global _own
    worker = getattr(here, "worker", None)
    if worker is not None and worker._pid == os.getpid():
        return worker
    if _own is None or _own._pid != os.getpid():
        _own = Worker(sys.modules["procession._pool.worker"]._place if in_worker() else None)
    return _own


# Where programs find them.
Worker.__module__ = Task.__module__ = "procession.pool"
current_task.__module__ = current_worker.__module__ = "procession"
