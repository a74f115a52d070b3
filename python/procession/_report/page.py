"""The page of a report: one file with everything in it, which loads nothing and can be read without JavaScript, too.

Names and messages are those of the program, and nothing that they hold becomes markup: what is HTML is escaped, what a
script reads is JSON without `<`, and the policy of the page lets nothing run but the one script, known by its hash.
"""

import base64
import hashlib
import json
import pkgutil
from html import escape

from procession._pool.amounts import number, percent, size, span
from procession._pool.texts import clean
from procession._report.findings import findings
from procession._report.functions import BINS, summaries
from procession._report.run import DIED, OUTCOMES, RAISED, thinned
from procession._report.schedule import predicted

__all__ = ["data", "page"]

_MOST_ROWS = 16_000
_MOST_POINTS = 4_000
_COLOURS = 6
_MOST_FUNCTIONS = 100
_MOST_NAME = 120


def page(run):
    """The page as a text, for a `Run`."""
    style = _resource("report.css")
    script = _resource("report.js")
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    colours = {name: f"c{at % _COLOURS}" for at, name in enumerate(run.of_function())}
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{_text(run.program)} · procession report</title><style>{style}</style></head><body><main>",
        f"<h1>{_text(run.program)}<small>{_text(run.about.get('when', ''))} · procession report</small></h1>",
        _numbers(run),
        _findings(run),
        _TIMELINE,
        *(_tables(run, colours) if run.rows else ()),
        _failures(run, colours),
        _footer(run),
        '<div id="tip"></div></main>',
        f'<script id="data" type="application/json">{_json(data(run))}</script>',
        f"<script>{script}</script></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _tables(run, colours):
    return _functions(run, colours), '<div class="two">', _longest(run, colours), _guesses(run), "</div>"


def data(run):
    """What the script of the page draws: times in microseconds.

    Of each row there are nine numbers: its distance to the end of the one before, its length, its job, its first task
    less that which would follow, how many tasks, what became of them, percent on a CPU and in line for one (-1: not
    known), bytes of results.
    """
    names = list(run.of_function())
    rows = sorted(thinned(run, _MOST_ROWS), key=lambda row: row.start)
    used = sorted({row.job for row in rows}, key=lambda job: run.jobs[job].started)
    jobs = {job: at for at, job in enumerate(used)}
    ends: dict[int, float] = {}
    for row in rows:
        ends[row.job] = max(row.end, ends.get(row.job, 0.0))
    starts = {row.job: row.start for row in reversed(rows)}
    lanes = [[] for _ in run.lanes]
    behind = [(0, 0)] * len(lanes)
    for row in rows:
        lane = run.lives[row.life].lane
        end, following = behind[lane]
        start, length = max(end, _micro(row.start)), max(0, _micro(row.span))
        share = (
            (lambda part, busy=row.busy: round(100 * part / busy) if busy else 0) if row.cpu >= 0 else (lambda part: -1)
        )
        flat = (start - end, length, jobs[row.job], row.first - following, row.count, row.outcome)
        lanes[lane] += [*flat, share(row.cpu), share(row.line), row.returned]
        behind[lane] = (start + length, row.first + row.count)
    memory = [[] for _ in run.lanes]
    for life in run.lives:
        memory[life.lane] += [[_micro(when), bytes >> 20] for when, bytes in _few(life.memory, len(run.lives))]
    return {
        "end": max(1, _micro(run.seconds)),
        "lanes": run.lanes,
        "fn": [name[:_MOST_NAME] for name in names],
        "jobs": [[names.index(run.jobs[job].function), _micro(starts[job]), _micro(ends[job])] for job in used],
        "lives": [
            [
                life.lane,
                _micro(life.started),
                _micro(life.started if life.ready is None else life.ready),
                -1 if life.ended is None or life.is_expected else _micro(life.ended),
            ]
            for life in run.lives
        ],
        "mem": [sorted(points) for points in memory],
        "rows": lanes,
    }


def _few(points, lives):
    """Some of many points, so that those of all workers are not too many."""
    return points[:: max(1, len(points) * lives // _MOST_POINTS)]


def _micro(seconds):
    return round(seconds * 1e6)


def _json(value):
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026")


def _resource(name):
    text = pkgutil.get_data("procession._report", name)
    assert text is not None
    return text.decode()


def _hash(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text):
    """A text of the program's, for a place between tags or in quotes."""
    return escape(clean(str(text)[:400]))


def _code(name, colour):
    return f'<b class="dot {colour}"></b><code title="{_text(name)}">{_text(name[:_MOST_NAME])}</code>'


def _task(name, item, colours):
    return _code(f"{name[:60]}[{item}]", colours[name])


def _plural(count, word):
    return f"{word}{'s' * (count != 1)}"


def _numbers(run):
    failed = sum(row.count for row in run.rows if row.outcome == RAISED)
    died = sum(1 for life in run.lives if life.ended is not None and not life.is_expected)
    again = sum(failure.is_tried_again for failure in run.failures)
    largest = max((bytes for life in run.lives for _, bytes in life.memory), default=0)
    share = min(1.0, run.busy / run.available) if run.available else None
    deaths = f"{_plural(died, 'worker')} died" + (f", {again} {_plural(again, 'task')} tried again" if again else "")
    boxes = [
        (span(run.seconds), "from the first pool to the last task", False),
        (
            number(run.tasks),
            f"{_plural(run.tasks, 'task')}, on {len(run.lanes)} {_plural(len(run.lanes), 'worker')}",
            False,
        ),
        (percent(share), "of the workers' time was used", False),
        (number(failed), f"{_plural(failed, 'task')} failed", failed > 0),
        (number(died), deaths, died > 0),
        (size(largest) if largest else "–", "largest worker", False),
    ]
    cells = (f"<div{' class=alert' * alert}><b>{value}</b><span>{text}</span></div>" for value, text, alert in boxes)
    return f'<section class="nums">{"".join(cells)}</section>'


def _where(start, end):
    return "" if start is None else f' data-from="{_micro(start)}" data-to="{_micro(end)}" tabindex="0"'


def _findings(run):
    items = []
    for finding in findings(run):
        gain = f"{span(finding.seconds)} {'lost' if finding.level == 'bad' else 'to gain'}" if finding.seconds else ""
        items.append(
            f'<li class="{finding.level}"{_where(finding.start, finding.end)}><div>'
            f'<b class="title">{_text(finding.title)}</b><p>{_text(finding.advice)}</p></div>'
            f"<span class=gain>{'≈ ' * bool(gain)}{gain}</span></li>"
        )
    if not items:
        nothing = "Nothing that would make it faster was found." if run.rows else "No task has run."
        return f'<section class="card"><h2>What to do about it</h2><p>{nothing}</p></section>'
    return f'<section class="card"><h2>What to do about it</h2><ul class="find">{"".join(items)}</ul></section>'


_TIMELINE = """\
<section class="card"><div class="tools"><h2>Timeline</h2><span id="keys"></span><span class="space"></span>\
<span class="seg" role="group" aria-label="colour by"><button data-mode="fn" aria-pressed="true">functions</button>\
<button data-mode="cpu" aria-pressed="false">CPU</button>\
<button data-mode="mem" aria-pressed="false">memory</button></span>\
<button class="button" id="reset">whole run</button></div>
<canvas id="timeline" tabindex="0" role="img" aria-label="what workers did when; the tables say it in words"></canvas>
<div class="help">Drag over a span to look closer, double-click for the whole run, ← → + − move and zoom. \
<span id="range"></span></div><noscript><p>The picture needs JavaScript; the tables do not.</p></noscript></section>"""


def _functions(run, colours):
    lines = []
    for each in summaries(run)[:_MOST_FUNCTIONS]:
        wrong = [f"{number(each.failed)} failed"] * bool(each.failed) + [f"{number(each.died)} lost"] * bool(each.died)
        last = f"<td class=bad>{', '.join(wrong)}</td>" if wrong else "<td class=mut>–</td>"
        cells = [number(each.tasks), span(each.took), percent(each.workers_busy)]
        cells += [span(each.median), span(each.most), span(each.longest), _shares(each), _histogram(each, colours)]
        body = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f"<tr><td>{_code(each.function, colours[each.function])}</td>{body}{last}</tr>")
    heads = (
        "",
        "tasks",
        "took",
        "workers busy",
        "median",
        "95 %",
        "longest",
        "time goes to",
        "task times, short to long",
        "",
    )
    head = "".join(f"<th>{text}</th>" for text in heads)
    meanings = {"run": "on a CPU", "line": "in line for one", "wait": "waits for something else"}
    keys = "".join(f'<span class="key"><i class="dot {kind}"></i>{text}</span>' for kind, text in meanings.items())
    tools = f'<div class="tools"><h2>Functions</h2><span class="space"></span>{keys}</div>'
    return f'<section class="card">{tools}<table><tr>{head}</tr>{"".join(lines)}</table></section>'


def _shares(each):
    if each.cpu is None or each.line is None:
        return "–"
    parts, at, bars = (each.cpu, each.line, max(0.0, 1 - each.cpu - each.line)), 0.0, []
    for part, kind in zip(parts, ("run", "line", "wait"), strict=True):
        bars.append(f'<rect class="f{kind}" x="{at:.1f}" width="{110 * part:.1f}" height="9"/>')
        at += 110 * part
    words = "on a CPU {}, in line for one {}, waiting for something else {}".format(*map(percent, parts))
    return f'<svg width="110" height="9" role="img" aria-label="{words}"><title>{words}</title>{"".join(bars)}</svg>'


def _histogram(each, colours):
    most = max(each.histogram)
    bars = []
    for at, count in enumerate(each.histogram):
        if count:
            tall = max(0.5, 24 * (count / most) ** 0.5)
            bars.append(f'<rect x="{at * 180 / BINS:.0f}" y="{26 - tall:.1f}" width="5" height="{tall:.1f}" rx="1"/>')
    words = f"from {span(each.shortest)} to {span(each.longest)}"
    colour = colours[each.function]
    head = f'<svg class="{colour}" width="180" height="26" role="img" aria-label="{words}"><title>{words}</title>'
    return f"{head}{''.join(bars)}</svg>"


def _longest(run, colours):
    rows = sorted((row for row in run.rows if row.count == 1), key=lambda row: -row.busy)[:6]
    lines = []
    for row in rows:
        name = run.jobs[row.job].function
        cpu = percent(row.cpu / row.busy if row.cpu >= 0 and row.busy else None)
        bad = "bad" if row.outcome in (RAISED, DIED) else "mut"
        lines.append(
            f"<tr{_where(row.start, row.end)}><td>{_task(name, row.first, colours)}</td><td>{span(row.busy)}</td>"
            f"<td>{cpu}</td><td>{_text(run.lanes[run.lives[row.life].lane])}</td><td>{span(row.start)}</td>"
            f"<td class={bad}>{OUTCOMES[row.outcome]}</td></tr>"
        )
    head = "<tr><th></th><th>took</th><th>on a CPU</th><th></th><th>began after</th><th></th></tr>"
    return f'<section class="card"><h2>Longest tasks</h2><table>{head}{"".join(lines)}</table></section>'


def _guesses(run):
    now = max((pool.workers for pool in run.pools), default=len(run.lanes)) or 1
    counts = sorted({1, 2, 4, 8, 16, now})
    times = {count: predicted(run, count) for count in counts} if run.rows else {}
    most = max(times.values(), default=0.0) or 1.0
    lines = []
    for count, seconds in times.items():
        long = max(1.0, 236 * seconds / most)
        fill = "fnow" if count == now else "fwait"
        bar = f'<svg width="{long:.0f}" height="14"><rect class="{fill}" width="100%" height="14" rx="3"/></svg>'
        words = span(seconds) + (" · this run, without the line for CPUs" if count == now else "")
        kind = "guess now" if count == now else "guess"
        lines.append(f'<div class="{kind}"><span>{count} {_plural(count, "worker")}</span>{bar}{words}</div>')
    text = f"Predicted from the measured tasks, with {run.cpus} {_plural(run.cpus, 'CPU')} of its own."
    return f'<section class="card"><h2>With another number of workers</h2><p>{text}</p>{"".join(lines)}</section>'


def _failures(run, colours):
    if not run.failures:
        return ""
    lines = []
    for failure in run.failures[:100]:
        name = run.jobs[failure.job].function
        text = failure.text or "–"
        again = "; tried again" if failure.is_tried_again else ""
        lines.append(
            f"<tr{_where(failure.start, failure.start + failure.seconds)}><td>{_task(name, failure.item, colours)}</td>"
            f'<td class=bad>{OUTCOMES[failure.outcome]}</td><td class="text">{_text(text)}{again}</td>'
            f"<td class=mut>{_text(run.lanes[failure.lane])} after {span(failure.seconds)}</td></tr>"
        )
    more = f"<p>and {number(len(run.failures) - 100)} more</p>" if len(run.failures) > 100 else ""
    return (
        f'<section class="card"><h2>What went wrong <small>{number(len(run.failures))}</small></h2>'
        f'<table class="texts">{"".join(lines)}</table>{more}</section>'
    )


def _footer(run):
    about = run.about
    methods = sorted({pool.method for pool in run.pools}) or ["–"]
    facts = [
        f"procession {about.get('procession', '?')}",
        str(about.get("python") or about.get("language", "?")),
        str(about.get("system", "?")),
        f"{run.cpus} {_plural(run.cpus, 'CPU')}",
        f"start method {', '.join(methods)}",
        f"{number(len(run.rows))} rows",
    ]
    if not run.is_whole:
        facts.append("the recording was cut off")
    button = '<button class="button" id="trace">Save as trace for ui.perfetto.dev</button>'
    return f"<footer>{_text(' · '.join(facts))}{button}</footer>"
