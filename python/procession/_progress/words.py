"""How progress reads: texts and bars out of `Progress`."""

import re
from dataclasses import dataclass

from procession._pool import texts
from procession._pool.amounts import whole_span

__all__ = ["MOST_TASKS", "DrawnLine", "bar", "clean", "colored", "facts", "line", "rows"]

# The most tasks that have a line of their own.
MOST_TASKS = 8
MOST_NAME = 30
# Colors; other orders to a terminal; signs that are orders.
_ORDERS = re.compile(
    "(\x1b\\[[0-9;:]*m)|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)|\x1b(?:\\[[0-?]*[ -/]*[@-~]|.)?"
    "|[\x00-\x08\x0a-\x1f\x7f-\x9f]"
)


@dataclass(frozen=True)
class DrawnLine:
    """A line of what is drawn.

    Attributes:
        name: what it is of.
        share: how much of it is done, from 0 to 1; None where that is not known.
        counts: `16/40`.
        facts: what else there is to say.
        failed: how many failed.
        is_task: whether it is of a task and not of a map.
    """

    name: str
    share: float | None
    counts: str
    facts: tuple[str, ...]
    failed: int = 0
    is_task: bool = False


def clean(text, most=200):
    """Return a text without what a terminal takes for an order, in one line of at most so many characters."""
    kept = texts.clean(text[: most + 1])
    return kept if len(kept) <= most else kept[: most - 1] + "…"


def colored(line):
    """Return a line that somebody prints without what would move or change what is drawn: its colors stay."""
    return _ORDERS.sub(lambda order: order[1] or "", line)


def _speed(rate):
    if rate <= 0:
        return ""
    for unit, count in (("s", 1.0), ("min", 60.0), ("h", 3600.0)):
        if rate * count >= 0.995:
            number = rate * count
            return f"{number:,.0f}/{unit}" if number >= 9.95 else f"{number:.1f}/{unit}"
    return f"{rate * 86400:.2g}/d"


def _counts(done, total):
    return f"{done:,}" if total is None else f"{done:,}/{total:,}"


def _time(progress):
    if progress.ended:
        return whole_span(progress.seconds) if progress.seconds >= 0.5 else f"{progress.seconds:.2f} s"
    if progress.done == progress.total:
        return ""
    if progress.left is not None:
        return f"{whole_span(progress.left)} left"
    last = progress.total is not None and 0 < progress.total - progress.done <= progress.running
    longest = max((task.seconds for task in progress.tasks), default=0.0)
    if last and longest >= 1:
        return f"last {progress.running} run, longest {whole_span(longest)}"
    return ""


def line(progress):
    """Return all of a map's progress in one line, such as `train 412/1,000 41 % 18/s 31 s left`."""
    parts = [clean(progress.function, MOST_NAME), _counts(progress.done, progress.total)]
    if progress.total and not progress.ended:
        parts.append(f"{100 * progress.done // progress.total} %")
    parts += _troubles(progress) + [_speed(progress.rate), _time(progress)]
    return " ".join(part for part in parts if part)


def _troubles(progress):
    counted = (("failed", progress.failed), ("retried", progress.retried))
    return [f"{count:,} {what}" for what, count in counted if count]


def facts(progress):
    """Return what a bar does not show, as texts."""
    running = [f"{progress.running:,} running"] if progress.running and not progress.ended else []
    took = whole_span(progress.seconds) if progress.seconds >= 1 and not progress.ended else ""
    times = ", ".join(text for text in (took, _time(progress)) if text)
    return tuple(text for text in (*running, *_troubles(progress), _speed(progress.rate), times) if text)


def rows(all_progress):
    """Return the lines for maps that run: one each, and below it those of its tasks that say how far they are."""
    answer = []
    for progress in all_progress:
        share = None
        if progress.total is not None:
            share = progress.done / progress.total if progress.total else 1.0
        name, counts = clean(progress.function, MOST_NAME), _counts(progress.done, progress.total)
        answer.append(DrawnLine(name, share, counts, facts(progress), progress.failed))
        if progress.ended:
            continue
        told = [task for task in progress.tasks if task.done is not None or task.text]
        told.sort(key=lambda task: task.worker)
        answer += [_task_row(task) for task in told[:MOST_TASKS]]
        if len(told) > MOST_TASKS:
            answer.append(DrawnLine(f"  +{len(told) - MOST_TASKS} more", None, "", (), is_task=True))
    return answer


def _task_row(task):
    done = "" if task.done is None else f"{task.done:,.6g}"
    total = "" if task.total is None else f"/{task.total:,.6g}"
    text = (clean(task.text, 60),) if task.text else ()
    return DrawnLine(f"  worker {task.worker}", task.share, f"{done}{total}", text, is_task=True)


def bar(share, width, signs="━╸ "):
    """Return a bar of so many characters in two parts: what is done, and the rest."""
    full, half, _ = signs
    halves = int(share * width * 2 + 1e-9)
    done = full * (halves // 2) + (half if halves % 2 else "")
    return done, full * (width - len(done))
