"""What notebooks show of pools and results: tables without scripts, as of the moment in which a cell ends."""

from html import escape

from procession._pool.amounts import size
from procession._pool.texts import clean, function_name

__all__ = ["STYLE", "bar", "of_pool", "of_result", "of_stats", "table"]

# The style of a cell; notebooks have rules of their own for tables.
STYLE = "text-align:left;border:0;padding:1px 8px;background:none;white-space:nowrap"
_COLORS = {"working": "#2e8b57", "starting": "#888", "leaving": "#888"}
# The most workers that are shown.
_MOST = 64


def table(rows):
    """Return a table of rows of cells, which are HTML."""
    cells = "".join("<tr>" + "".join(f'<td style="{STYLE}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    return f'<table style="border:0;font-family:monospace;font-size:90%">{cells}</table>'


def bar(share, failed=0):
    """Return a bar of which a share, from 0 to 1, is full; red where something has failed."""
    color = "#c0392b" if failed else "#2e8b57"
    return (
        f'<svg width="200" height="10"><rect width="200" height="10" rx="2" fill="#8884"/>'
        f'<rect width="{200 * share:.1f}" height="10" rx="2" fill="{color}"/></svg>'
    )


def text(value):
    """Return a text of others as HTML."""
    return escape(clean(value))


def of_pool(pool):
    """Return a pool: what it is, and a row for each of its workers."""
    name = f"<b>{text(type(pool).__name__)}</b> · {text(pool._state.lower())}"
    try:
        stats = pool.stats()
    except (NotImplementedError, ValueError):  # its workers are no processes, or it has ended
        return f"{name} · {_many(len(pool._pool), 'worker')}"
    method = pool._ctx.get_start_method()
    return f"{name} · {text(method)} · {of_stats(stats)}"


def of_stats(stats):
    """Return what goes on in a pool."""
    counts = [
        _many(len(stats.workers), "worker"),
        f"{stats.running:,} running",
        f"{stats.waiting:,} waiting",
        f"{stats.done:,} done",
    ]
    odd = (("failed", stats.failed), ("retried", stats.retried), ("died", stats.deaths))
    counts += [f'<span style="color:#c0392b">{count:,} {what}</span>' for what, count in odd if count]
    rows = [[f"<b>{name}</b>" for name in ("worker", "pid", "state", "memory", "done", "now", "for")]]
    rows += [_worker(worker) for worker in stats.workers[:_MOST]]
    if len(stats.workers) > _MOST:
        rows.append([f"+{len(stats.workers) - _MOST} more"])
    return " · ".join(counts) + table(rows)


def _worker(worker):
    state = f'<span style="color:{_COLORS.get(worker.state, "inherit")}">{text(worker.state)}</span>'
    task = worker.task
    now = ["", ""] if task is None else [text(f"{task.function}[{task.index}]"), f"{task.seconds:.1f} s"]
    return [str(worker.place), str(worker.pid), state, size(worker.rss), f"{worker.done:,}", *now]


def of_result(result):
    """Return a result: how far it is."""
    core = result._core
    name = f"<b>{text(type(result).__name__)}</b>"
    total, done, failed, retried, running = core.progress()
    function = getattr(core, "function", None)
    parts = [name] if function is None else [name, text(function_name(function))]
    parts.append(f"{done:,}" if total is None else f"{done:,}/{total:,}")
    counted = (("running", len(running)), ("failed", failed), ("retried", retried))
    parts += [f"{count:,} {what}" for what, count in counted if count]
    drawn = [bar(done / total if total else 1.0, failed)] if total is not None else []
    return table([[parts[0], *drawn, " · ".join(parts[1:])]])


def _many(count, what):
    return f"{count:,} {what}{'' if count == 1 else 's'}"
