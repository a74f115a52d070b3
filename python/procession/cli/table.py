"""What `procession top` shows, as lines of pieces of text, each with a style: plain, or in colours."""

import textwrap
import time
from collections.abc import Sequence
from typing import Any

from procession._pool.amounts import short_size, short_span
from procession.cli.survey import Survey, of_machine, of_memory, running_jobs
from procession.cli.text import clean, columns, cut

__all__ = ["colored", "cut_lines", "fitted", "lines_of", "plain"]

Line = list[tuple[str, str]]
NOTHING = "No pool of yours runs. Start one and it appears here; nothing has to be switched on."
OTHERS = "No pool is here that was asked for."
BAR = 30
CPU_BAR = 12
# At most so many jobs of a pool are listed.
JOBS = 4
WORKERS = 64
# From so many columns on there is room for bars and notes; below so many for a worker's state and task alone.
WIDE = 100
NARROW = 64
_BRIEFLY = {
    "stopped": "stopped",
    "over 90 % of max_memory": "memory",
    "in line for a CPU": "in line",
    "in the disk": "in disk",
    "waits, for no CPU": "waits",
}
_STYLES = {
    "title": "30;42",
    "strong": "1",
    "dim": "2",
    "good": "32",
    "line": "33",
    "bad": "31",
    "name": "36",
    "chosen": "7",
}


def lines_of(pools: list[dict[str, Any]], survey: Survey, width: int, chosen: int | None = None) -> list[Line]:
    """Return the whole table: a list of lines, each a list of `(text, style)`.

    Args:
        pools: those that are shown, of the survey.
        survey: a `survey.Survey` that has looked.
        width: how many columns there are.
        chosen: the pid of the worker that is marked, or None.
    """
    lines: list[Line] = [_head(pools, width)]
    for pool in pools:
        lines.append([])
        lines += _pool(pool, width, chosen)
    if not pools:
        others = len(survey.pools)
        text = f"{OTHERS} {others} {'others run' if others > 1 else 'other runs'}." if others else NOTHING
        lines += [[], *([(line, "")] for line in textwrap.wrap(text, max(20, width)))]
    for pid, version in survey.others:
        lines += [[], [(f"pid {pid}: procession {clean(version)}, use its own `procession top`", "dim")]]
    if survey.hidden:
        many = "1 process" if survey.hidden == 1 else f"{survey.hidden} processes"
        lines += [[], [(f"{many} of yours could not be looked at", "dim")]]
    return cut_lines(lines, width)


def _head(pools, width):
    workers = [worker for pool in pools for worker in pool["workers"]]
    working = sum(worker["task"] is not None for worker in workers)
    cpus, load = of_machine()
    total, used = of_memory()
    groups: list[Line] = [
        [
            (" procession top ", "title"),
            ("  ", ""),
            (f"{len(pools)} pool{'' if len(pools) == 1 else 's'}", "strong"),
            (f" · {len(workers)} worker{'' if len(workers) == 1 else 's'}, ", ""),
            (f"{working} working", "good" if working else ""),
        ],
        [(f" · {cpus} CPUs, load ", ""), (f"{load:.1f}", "bad" if load > 2 * cpus else "")],
        [(f" · memory {short_size(used)} of {short_size(total)}", "")],
        [(time.strftime("   %H:%M:%S"), "dim")],
    ]
    return fitted(groups, (2, 3, 1), width)


def _pool(pool, width, chosen):
    count = pool["processes"]
    title = [
        ("▾ ", "good"),
        (clean(pool["program"]), "strong"),
        (f"  pid {pool['pid']} · {count} worker{'' if count == 1 else 's'} · {clean(pool['start_method'])}", "dim"),
        (f" · up {short_span(pool['age'])}", "dim"),
    ]
    retried = sum(job["retried"] for job in pool["jobs"])
    odd = [f"{pool['deaths']} died"] * (pool["deaths"] > 0) + [f"{retried} retried"] * (retried > 0)
    if odd:
        title.append(("   " + ", ".join(odd), "bad"))
    lines = [title]
    jobs = running_jobs(pool)
    past = pool.get("past", ())  # of the pool, not of a job: it stands with the first
    lines += [_job(job, () if number else past, width) for number, job in enumerate(jobs[:JOBS])]
    if len(jobs) > JOBS:
        lines.append([(f"  +{len(jobs) - JOBS} more", "dim")])
    if not jobs:
        lines.append([("  has had nothing to do yet", "dim")])
    lines.append([(_heads(width), "dim")])
    lines += [_worker(worker, width, worker["pid"] == chosen) for worker in pool["workers"][:WORKERS]]
    if len(pool["workers"]) > WORKERS:
        lines.append([(f"  +{len(pool['workers']) - WORKERS} more", "dim")])
    return lines


def _job(job, past, width):
    outcomes, total = job["done"] + job["failed"], job["total"]
    length = max(8, min(BAR, width - 60))
    full = min(length, int(length * outcomes / total)) if total else 0
    groups: list[Line] = [
        [
            ("  ", ""),
            ("█" * full, "good"),
            ("·" * (length - full), "dim"),
            (f" {outcomes:,}/{total:,}" if total is not None else f" {outcomes:,}", ""),
            ("  ", ""),
            (clean(job["function"]), "name"),
        ],
        [(f" by {clean(job['method'])}", "dim")],
        [(f"   {job['rate']:.1f}/s", "")],
    ]
    if job["ended"] is not None:
        groups.append([(f"   ended {short_span(job['ended'])} ago", "dim")])
    elif job["left"] is not None:
        groups.append([(f"   {short_span(job['left'])} left", "strong")])
    if job["failed"]:
        groups.append([(f"   ✗ {job['failed']:,} failed", "bad")])
    least = [1, 2]
    if len(past) > 1:
        groups.append([("   " + _curve(past), "good")])
        least.insert(0, len(groups) - 1)
    return fitted(groups, least, width)


def _curve(steps):
    most = max(steps)
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(8 * step / most))] if most else "▁" for step in steps)


def _heads(width):
    if width < NARROW:
        head = f"{'#':>4}  {'STATE':<8} "
    else:
        head = f"{'#':>4} {'PID':>7}  {'STATE':<8} {'CPU':>5}  {'':<{_bar(width)}} {'MEM':>5} {'DONE':>7}  "
    return f"{head}{_fit('NOW', _room(width))} {'FOR':>8}".rstrip()


def _bar(width):
    return CPU_BAR if width >= WIDE else 0


def _room(width):
    """How many columns what a worker does gets."""
    if width < NARROW:
        return max(8, width - 24)
    beside = 46 + _bar(width) + 9 + (25 if width >= WIDE else 0)
    return max(12, min(60, width - beside))


def _fit(text, room):
    if columns(text) > room:
        text = cut(text, room - 1) + "…"
    return text + " " * (room - columns(text))


def _worker(worker, width, is_chosen):
    task, bar = worker["task"], _bar(width)
    now = "" if task is None else _now(task)
    seconds = "" if task is None else short_span(task["seconds"])
    on = min(bar, round(bar * worker["cpu_percent"] / 100))
    waits = min(bar - on, round(bar * worker["in_line_percent"] / 100))
    style = "chosen" if is_chosen else ""
    state = worker["state"]
    note = "" if state == "ended" else worker["note"]
    state_style = {"running": "good", "starting": "dim", "ended": "bad"}.get(state, "")
    if note and width < WIDE:
        state, state_style = _BRIEFLY[note], "line"
    if width < NARROW:
        return [
            (f"{worker['place']:>4}  ", style),
            (f"{state:<8}", style or state_style),
            (f" {_fit(now, _room(width))} {seconds:>8}", style),
        ]
    return [
        (f"{worker['place']:>4} {worker['pid']:>7}  ", style),
        (f"{state:<8}", style or state_style),
        (f" {worker['cpu_percent']:>4.0f}%  ", style),
        ("█" * on, "good"),
        ("▓" * waits, "line"),
        ("·" * (bar - on - waits), "dim"),
        (f" {short_size(worker['rss']):>5} {worker['done']:>7,}  ", style),
        (_fit(now, _room(width)), style),
        (f" {seconds:>8}", style),
        (f"  {note}" if note and width >= WIDE else "", "line"),
    ]


def _now(task):
    name = clean(task["function"] or "?")
    text = f"{name}({clean(task['arguments'])})" if task["arguments"] else f"{name}[{task['index']}]"
    if task["progress"] is not None:
        done, total, words = task["progress"]
        text += f" {done:g}/{total:g}" if total else f" {done:g}"
        text += f" {clean(words)}" if words else ""
    return text


def fitted(groups: list[Line], least: Sequence[int], width: int) -> Line:
    """Return groups of pieces as a line that is no longer than `width` columns, if that can be.

    Args:
        groups: the line's, in order.
        least: the numbers of those that are left out where there is no room, in that order.
    """
    left = dict(enumerate(groups))
    for number in least:
        if sum(columns(text) for group in left.values() for text, _ in group) <= width:
            break
        del left[number]
    return [piece for group in left.values() for piece in group]


def cut_lines(lines: list[Line], width: int) -> list[Line]:
    """Return the lines with no more than `width` columns each."""
    return [_cut(line, width) for line in lines]


def _cut(line, width):
    left, kept = width, []
    for text, style in line:
        if left <= 0:
            break
        kept.append((text if columns(text) <= left else cut(text, left - 1) + "…", style))
        left -= columns(text)
    return kept


def plain(lines: list[Line]) -> str:
    """Return the lines as text."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def colored(lines: list[Line]) -> str:
    """Return the lines as text with the orders that give colours to a terminal."""
    paint = [
        "".join(f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and text else text for text, style in line)
        for line in lines
    ]
    return "\n".join(paint)
