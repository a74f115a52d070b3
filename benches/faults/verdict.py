"""How a probe says what is wrong, and how eight tasks with a guilty one are judged."""

import time
import traceback

from benches.faults.limits import limit
from benches.faults.tasks import square

ANSWER_LIMIT_S = 13
GUILTY = 3
TASKS = 8


class Fault(Exception):
    """The library did not behave.

    Args:
        what: what happened, in a few words, for the table.
        detail: more of it, for whoever wants to know why.
    """

    def __init__(self, what, detail=""):
        super().__init__(what)
        self.what, self.detail = what, str(detail)


class Hung:
    """Stands for the answer that did not come within the limit."""

    def __repr__(self):
        return "no answer"


def outcome(task, until):
    """Waits for one task.

    Returns:
        Its result, or the exception it ended with, or a `Hung`.
    """
    started = time.monotonic()
    left = max(0.05, until - started)
    try:
        return task.get(left)
    except BaseException as error:
        if type(error).__name__ == "TimeoutError" and time.monotonic() - started >= left:
            return Hung()
        return error


def text_of(error):
    """All that a user would see of the error, its causes included."""
    return "".join(traceback.format_exception(error))


def submit_eight(pool, innocent, guilty):
    """Submits eight tasks; `guilty()` submits the guilty one."""
    return [guilty() if number == GUILTY else pool.submit(innocent, number) for number in range(TASKS)]


def judge(pool, tasks, is_right_error):
    """Waits for the eight tasks, the guilty one first, then tries another map.

    Args:
        pool: the adapter of the pool they run in.
        tasks: what `submit_eight` gave.
        is_right_error: says whether the guilty task's exception is what it should be.

    Raises:
        Fault: when anything is not as it should be.
    """
    until = time.monotonic() + limit(ANSWER_LIMIT_S)
    guilty = outcome(tasks[GUILTY], until)
    right = not isinstance(guilty, BaseException) or is_right_error(guilty)
    others = {number: outcome(task, until) for number, task in enumerate(tasks) if number != GUILTY}
    wrong = {number: found for number, found in others.items() if found != number * number}
    story = f"guilty: {guilty!r}; others that failed: {wrong!r}"
    if any(isinstance(found, Hung) for found in (guilty, *wrong.values())):
        raise Fault("hangs", story)
    if wrong:
        raise Fault(f"{len(wrong)} innocent tasks fail", story)
    if not isinstance(guilty, BaseException):
        raise Fault("no error", story)
    if not right:
        raise Fault(f"unclear error: {type(guilty).__name__}", text_of(guilty))
    map_again(pool)


def map_again(pool):
    """Tries another map.

    Raises:
        Fault: when it does not work.
    """
    try:
        found = list(pool.map(square, range(TASKS), limit(5)))
    except BaseException as error:
        raise Fault("the next map fails", text_of(error))
    if found != [number * number for number in range(TASKS)]:
        raise Fault("the next map is wrong", found)
