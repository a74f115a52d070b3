"""How far a job is, how fast it goes, how long it will take: numbers out of counts and times, without a clock."""

from collections import deque
from dataclasses import dataclass

__all__ = ["Counts", "Meter", "Progress", "TaskProgress"]

# The rate is that of so many seconds, or of so many outcomes a worker where these take longer.
RATE_S = 10.0
RATE_OUTCOMES = 2


@dataclass(frozen=True)
class TaskProgress:
    """A task that runs.

    Attributes:
        function: the name of what it calls.
        index: its place in its map, from 0.
        worker: the number of its worker, from 0.
        seconds: for how long its worker has had it, to some milliseconds; 0.0 where the crew is none of processes.
        done, total, text: what it has said by `current_task().progress`; `done` is None where it has said nothing.
    """

    function: str
    index: int
    worker: int
    seconds: float = 0.0
    done: float | None = None
    total: float | None = None
    text: str = ""

    @property
    def share(self) -> float | None:
        """How much of the task is done, from 0 to 1; None where that is not known."""
        if self.done is None or self.total is None or not self.total > 0:
            return None
        return min(max(self.done / self.total, 0.0), 1.0)


@dataclass(frozen=True)
class Progress:
    """How far a map is.

    Attributes:
        function: the name of what it calls.
        total: how many items it has, None while that is not known.
        done: how many have an outcome, failed ones included.
        failed: how many of these have raised, or were lost with their worker.
        retried: how often one was tried again.
        running: how many run.
        seconds: since it began.
        rate: outcomes a second of late, parts of tasks included that say how far they are; 0.0 while there are none.
        left: how many seconds it will take from now on, None while that cannot be told.
        tasks: those that run.
        ended: whether this is the last one: nothing more comes.
    """

    function: str
    total: int | None
    done: int
    failed: int
    retried: int
    running: int
    seconds: float
    rate: float
    left: float | None
    tasks: tuple[TaskProgress, ...]
    ended: bool


# Where programs find them.
for _class in (Progress, TaskProgress):
    _class.__module__ = "procession.pool"


class Counts:
    """What is known of a job at one moment.

    Args:
        total: how many items there are, or None.
        done: how many have an outcome.
        failed, retried: see `Progress`.
        tasks: what runs, as `TaskProgress`.
    """

    def __init__(self, total, done, failed=0, retried=0, tasks=()):
        self.total = total
        self.done = done
        self.failed = failed
        self.retried = retried
        self.tasks = tuple(tasks)


class Meter:
    """Makes `Progress` out of what is counted now and then.

    Args:
        function: the name of what is called.
        workers: how many work at once.
        now: the time at which it begins, in seconds.
    """

    def __init__(self, function, workers, now):
        self._function = function
        self._workers = max(1, workers)
        self._began = now
        # When how much was done, with parts of tasks in the second: one for each number of outcomes.
        self._samples = deque([(now, 0.0, 0)])

    def progress(self, counts, now, ended=False):
        """Return the `Progress` at the time `now`."""
        parts = sum(task.share or 0.0 for task in counts.tasks)
        self._note(now, counts.done + parts, counts.done)
        seconds = max(now - self._began, 0.0)
        rate = self._rate(now)
        return Progress(
            function=self._function,
            total=counts.total,
            done=counts.done,
            failed=counts.failed,
            retried=counts.retried,
            running=len(counts.tasks),
            seconds=seconds,
            rate=counts.done / seconds if ended and seconds > 0 else rate,
            left=None if ended else self._left(counts, parts, seconds, rate),
            tasks=counts.tasks,
            ended=ended,
        )

    def _note(self, now, value, done):
        samples = self._samples
        if len(samples) > 1 and samples[-1][2] == done:
            samples.pop()
        samples.append((now, value, done))
        # The first one is the last that is old enough: by time, and by outcomes.
        enough = RATE_OUTCOMES * self._workers
        while len(samples) > 2 and now - samples[1][0] >= RATE_S and done - samples[1][2] >= enough:
            samples.popleft()

    def _rate(self, now):
        (first_at, first, _), (_, last, _) = self._samples[0], self._samples[-1]
        return max(last - first, 0.0) / (now - first_at) if now > first_at else 0.0

    def _left(self, counts, parts, seconds, rate):
        if counts.total is None:
            return None
        missing = counts.total - counts.done
        if missing <= 0:
            return 0.0
        if counts.tasks and missing <= len(counts.tasks):
            return _longest(counts.tasks)
        if rate <= 0 or (seconds < RATE_S and counts.done < RATE_OUTCOMES * self._workers):
            return None
        return max(missing - parts, 0.0) / rate


def _longest(tasks):
    """Return how long the longest of the last tasks will take, None where one does not say how far it is."""
    shares = [task.share for task in tasks]
    if not all(shares):
        return None
    return max(task.seconds * (1 - share) / share for task, share in zip(tasks, shares, strict=True))
