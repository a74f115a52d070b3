"""A run as a trace: JSON of the Trace Event Format, for ui.perfetto.dev, Speedscope and others."""

from procession._report.run import OUTCOMES, RETURNED

__all__ = ["trace"]

# Perfetto takes thread 0 for a thread of another kind, and draws what it did elsewhere.
_FIRST_LANE = 100


def trace(run):
    """The events of a `Run`: a dict, to be written as JSON."""
    events = [{"ph": "M", "pid": 1, "tid": _FIRST_LANE, "name": "process_name", "args": {"name": run.program}}]
    for at, name in enumerate(run.lanes):
        events.append({"ph": "M", "pid": 1, "tid": _FIRST_LANE + at, "name": "thread_name", "args": {"name": name}})
    for life in run.lives:
        if life.ready is not None and life.ready > life.started:
            events.append(
                _event(life.lane, "starting", "worker", life.started, life.ready - life.started, {"pid": life.process})
            )
    for row in run.rows:
        name = run.jobs[row.job].function
        if row.outcome != RETURNED:
            name += f" ({OUTCOMES[row.outcome]})"
        args = {"first": row.first, "count": row.count, "bytes": row.returned}
        if row.cpu >= 0:
            args |= {"cpu_ms": round(row.cpu * 1e3, 3), "in_line_ms": round(row.line * 1e3, 3)}
        events.append(_event(run.lives[row.life].lane, name, OUTCOMES[row.outcome], row.start, row.span, args))
    for life in run.lives:
        for when, bytes in life.memory:
            name = f"memory of {run.lanes[life.lane]}"
            events.append({"ph": "C", "pid": 1, "ts": round(when * 1e6, 3), "name": name, "args": {"MiB": bytes >> 20}})
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _event(lane, name, kind, start, seconds, args):
    times = {"ts": round(start * 1e6, 3), "dur": round(seconds * 1e6, 3)}
    return {"ph": "X", "pid": 1, "tid": _FIRST_LANE + lane, "name": name, "cat": kind, **times, "args": args}
