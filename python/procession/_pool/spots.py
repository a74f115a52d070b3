"""Where a thread of the program itself is in a job: which item it computes, and what that task says of itself.

A spot is made for each chunk of items. The task is made of it when somebody asks, so that short items cost nothing.
"""

from procession._pool.current import Task, as_informed, here
from procession._pool.texts import function_name

__all__ = ["begin", "computed", "end", "task_of"]

# As workers of other processes have room for.
_MOST_TEXT = 32


def begin(job, start, calls=None, deadline=None, tries=0):
    """This thread computes items of a job from now on; return what `end` is to be told.

    Args:
        job: whose.
        start: the first of them.
        calls: the list's iterator from which they are taken; None: it is one.
        deadline: until when it may take, by `time.monotonic()`; or None.
        tries: how often it was tried before.
    """
    before = getattr(here, "task", None)
    here.task = job.pid, job, start, calls, deadline, tries, []
    return before


def end(before):
    """The items are computed, or have failed: their tasks say nothing any more."""
    _, job, _, _, _, _, made = here.task
    here.task = before
    for task in made:
        task._interrupts = None
        job.said.pop(task.worker, None)


def computed(calls):
    """Return how many items were taken from a list's iterator before the last one."""
    state = calls.__reduce__()
    return max(state[2] - 1, 0) if len(state) > 2 else 0


def task_of(spot):
    """Return the task at a spot."""
    _, job, start, calls, deadline, tries, made = spot
    place = start if calls is None else start + computed(calls)
    if made and made[0]._item == (job.number, place):
        return made[0]
    for task in made:
        task._interrupts = None
    informed = as_informed(job.function)
    index, seed = (place, None) if informed is None else informed.of(place)
    worker = getattr(here, "worker", None)
    worker = 0 if worker is None else worker.index
    told, name = _TaskNews(job, place, worker), function_name(job.function)
    index = job.number if job.order == "apply" else index
    made[:] = [Task(name, index, told, (job.number, place), worker, deadline, tries, seed)]
    return made[0]


class _TaskNews:
    """Takes what a task says of itself."""

    def __init__(self, job, place, worker):
        self._job = job
        self._place = place
        self._worker = worker

    def item(self):
        """Return which item of which job runs."""
        return self._job.number, self._place

    def say(self, done, total, text):
        """Keep the last word."""
        job = self._job
        text = text.encode(errors="replace")[:_MOST_TEXT].decode(errors="ignore")
        job.said[self._worker] = self._place, (done, total, text)
        if job.tick is not None and job.is_computed_by_its_caller:
            job.tick()
