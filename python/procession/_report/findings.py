"""What to do about a run: functions of its rows, each with a threshold, and silent where nothing is to be gained."""

from collections.abc import Iterator
from dataclasses import dataclass

from procession._pool.amounts import size, span
from procession._report.functions import extents, joined, summaries
from procession._report.run import DIED, RAISED, UNFINISHED, Run
from procession._report.schedule import job_time, longest_first

__all__ = ["FINDERS", "Finding", "findings"]

_MOST = 5
# What is less than this share of a run, or than so many seconds, is not worth a word.
_SHARE = 0.02
_LEAST = 0.1


@dataclass(frozen=True)
class Finding:
    """Something that a run shows, and what to do about it.

    Attributes:
        name: what it is, a word for programs: "in-line", "math-threads", "tail", "chunks", "waits", "gap", "start",
            "small-tasks", "pickling", "few-workers", "large-results", "memory", "retries".
        level: "bad", "warn" or "tip".
        title: the finding, a sentence.
        advice: what to do about it.
        seconds: how much of the run is lost by it, or can be gained.
        start, end: the span of the run that shows it; None where that is all of it.
    """

    name: str
    level: str
    title: str
    advice: str
    seconds: float
    start: float | None = None
    end: float | None = None


# Other programs have the CPUs where tasks wait for one by so much more than their own number explains.
_OTHERS = 0.15


def findings(run: Run) -> list[Finding]:
    """What to do about a run: at most five findings, those that cost most first."""
    found = [finding for finder in FINDERS for finding in finder(run)]
    least = max(_LEAST, _SHARE * run.seconds)
    worth = [finding for finding in found if finding.seconds >= least or finding.name in ("memory", "retries")]
    return sorted(worth, key=lambda finding: -finding.seconds)[:_MOST]


def in_line(run: Run) -> Iterator[Finding]:
    """Tasks stood in line for a CPU for a quarter of their time or more."""
    known = [row for row in run.rows if row.cpu >= 0]
    line, busy = sum(row.line for row in known), sum(row.busy for row in known)
    lanes = len({run.lives[row.life].lane for row in known})
    name, threads = _math_threads(run)
    if busy and line / busy >= 0.1 and lanes * threads > max(lanes, run.cpus):
        title = f"Tasks stood in line for a CPU during {100 * line / busy:.0f}% of their time: {name}={threads} is set."
        advice = (
            f"So numerical libraries of {lanes} workers compute with {lanes * threads} threads on {run.cpus} "
            f"CPU{'s' * (run.cpus > 1)}. Without that variable each worker's have its share of the CPUs."
        )
        yield Finding("math-threads", "bad", title, advice, line / lanes)
    elif busy and line / busy >= 0.25:
        share = f"{lanes} workers share {run.cpus} CPU{'s' if run.cpus > 1 else ''}"
        if line / busy >= max(0.0, 1 - run.cpus / lanes) + _OTHERS:
            share += " with other programs of this machine"
        advice = (
            f"{share}. More workers do not compute faster: Pool() takes as many as there are CPUs."
            if lanes > run.cpus
            else f"{share}. More workers do not compute faster; fewer other programs would."
        )
        title = f"Tasks stood in line for a CPU during {100 * line / busy:.0f}% of their time."
        yield Finding("in-line", "bad", title, advice, line / lanes)


def _math_threads(run):
    """The variable by which numerical libraries have most threads in a worker, and how many; 1 where none is set."""
    given = run.about.get("math_threads")
    known = {name: count for name, count in given.items() if isinstance(count, int)} if isinstance(given, dict) else {}
    return max(known.items(), key=lambda one: one[1], default=("", 1))


def _by_job(run):
    jobs: dict[int, list] = {}
    for row in run.rows:
        if row.outcome != UNFINISHED:
            jobs.setdefault(row.job, []).append(row)
    return jobs


def tail(run: Run) -> Iterator[Finding]:
    """A job ended with long tasks while most workers had nothing to do."""
    for number, rows in _by_job(run).items():
        last = max(rows, key=lambda row: row.end)
        lanes = {run.lives[row.life].lane for row in rows}
        if last.count != 1 or len(lanes) < 2:
            continue
        others = max((row.end for row in rows if run.lives[row.life].lane != run.lives[last.life].lane), default=0.0)
        took = last.end - min(row.start for row in rows)
        best = max(
            longest_first([row.busy for row in rows if row.count == 1], len(lanes)),
            sum(r.busy for r in rows) / len(lanes),
        )
        gain = min(took - best, last.end - others)
        if gain > 0.1 * took and last.busy > gain:
            name = run.jobs[number].function
            title = f"{name} ended with one task alone."
            idle = "all others" if len(lanes) > 2 else "the other worker"
            advice = (
                f"#{last.first} ran {span(last.busy)}, {span(last.end - others)} of it while {idle} had nothing to do. "
                f"Long items first, as by sorted(items, key=cost, reverse=True), would save about {span(gain)}."
            )
            yield Finding("tail", "warn", title, advice, gain, last.start, last.end)


def chunks(run: Run) -> Iterator[Finding]:
    """A job ended with many tasks of one worker, which had them in a chunk, while the others had nothing to do."""
    for number, rows in _by_job(run).items():
        last = max(rows, key=lambda row: row.end)
        lane = run.lives[last.life].lane
        lanes = {run.lives[row.life].lane for row in rows}
        if len(lanes) < 2:
            continue
        others = max(row.end for row in rows if run.lives[row.life].lane != lane)
        late = [row for row in rows if row.start >= others]
        count = sum(row.count for row in late)
        took = last.end - min(row.start for row in rows)
        gain = sum(row.busy for row in late) * (1 - 1 / len(lanes))
        if count >= 3 and gain > 0.1 * took and max(row.busy / row.count for row in late) < gain / 2:
            name = run.jobs[number].function
            title = f"{name} ended with the last {count:,} tasks of one worker, which had them in one chunk."
            idle = "all others" if len(lanes) > 2 else "the other worker"
            advice = (
                f"For {span(last.end - others)} {idle} had nothing to do. Smaller chunks (chunksize=, or none, which "
                f"has them as small as may be) would save about {span(gain)}."
            )
            yield Finding("chunks", "warn", title, advice, gain, others, last.end)


def waits(run: Run) -> Iterator[Finding]:
    """A function waited for something that is no CPU for more than half of its time."""
    lanes, all_rows = len(run.lanes), run.of_function()
    for summary in summaries(run):
        if summary.cpu is None or summary.line is None or summary.tasks < 2 * lanes:
            continue
        share = 1 - summary.cpu - summary.line
        if share > 0.5 and summary.workers_busy > 0.5:
            rows = all_rows[summary.function]
            more = min(64, max(16, 2 * lanes))
            best = job_time(rows, more, run.cpus)
            title = f"{summary.function} waited {100 * share:.0f}% of its time for something that is no CPU."
            advice = (
                f"Disk, network or sleep: {more} workers, or ThreadPool({more}), would do it in about {span(best)} "
                f"instead of {span(summary.took)}."
            )
            spans = extents(rows)
            yield Finding("waits", "tip", title, advice, summary.took - best, spans[0][0], spans[-1][1])


def gap(run: Run) -> Iterator[Finding]:
    """No worker had anything to do between two jobs."""
    ready = min((life.ready for life in run.lives if life.ready is not None), default=None)
    spans = joined((row.start, row.end) for row in run.rows)
    if ready is None or not spans:
        return
    free = [(before[1], after[0]) for before, after in zip(spans, spans[1:], strict=False)]
    gaps = [(end - start, start, end) for start, end in free if end - start >= max(_LEAST, _SHARE * run.seconds)]
    if gaps:
        longest, start, end = max(gaps)
        following = min((row for row in run.rows if row.start >= end), key=lambda row: row.start)
        before = run.jobs[following.job].function
        total = sum(seconds for seconds, _, _ in gaps)
        more = f", and {len(gaps) - 1} more times" if len(gaps) > 1 else ""
        title = f"No worker had anything to do for {span(longest)} before {before}{more}."
        advice = "The program itself was busy: it can do that meanwhile, as map_async() and imap() return at once."
        yield Finding("gap", "warn", title, advice, total, start, end)


def start(run: Run) -> Iterator[Finding]:
    """It took long until the first worker was ready."""
    lives = [life for life in run.lives if life.ready is not None]
    if not lives or not run.rows:
        return
    first = min(lives, key=lambda life: life.ready or 0.0)
    took = (first.ready or 0.0) - first.started
    if took >= 0.3:
        title = f"The first worker was ready after {span(took)}."
        advice = (
            "Imports of the main module and the initializer, in each worker. "
            "A pool that is kept (procession.shared_pool()) pays it once."
        )
        yield Finding("start", "tip", title, advice, took, first.started, first.ready)


def small_tasks(run: Run) -> Iterator[Finding]:
    """A function's tasks take less than sending them does."""
    all_rows = run.of_function()
    for summary in summaries(run):
        mean = summary.busy / summary.tasks
        if mean < 5e-5 and summary.workers_busy < 0.5 and summary.tasks >= 1000 and len(run.lanes) > 1:
            title = f"Tasks of {summary.function} take {span(mean)}: sending them takes longer."
            advice = (
                f"Its workers had something to do for {100 * summary.workers_busy:.0f}% of the time. "
                "Give each task more to do, such as a part of the list."
            )
            spans = extents(all_rows[summary.function])
            gain = summary.took * (1 - summary.workers_busy)
            yield Finding("small-tasks", "tip", title, advice, gain, spans[0][0], spans[-1][1])


def pickling(run: Run) -> Iterator[Finding]:
    """Workers had nothing to do for a fifth of a function's time, while large arguments were sent to them."""
    all_rows = run.of_function()
    for summary in summaries(run):
        rows = all_rows[summary.function]
        sent = sum(row.sent for row in rows)
        idle = 1 - summary.workers_busy
        if idle >= 0.2 and sent >= 64 << 20 and sent / summary.tasks >= 64 << 10:
            title = f"{summary.function} was sent {size(sent)}, {size(sent // summary.tasks)} a task."
            advice = (
                f"Its workers had nothing to do for {100 * idle:.0f}% of the time, while this was pickled and copied. "
                "What all tasks have in common goes once by pool.share(); or tasks read it themselves, from a file "
                "or shared memory."
            )
            spans = extents(rows)
            yield Finding("pickling", "warn", title, advice, summary.took * idle, spans[0][0], spans[-1][1])


def few_workers(run: Run) -> Iterator[Finding]:
    """All workers were on a CPU nearly all the time, and there are more CPUs."""
    lanes, all_rows = len(run.lanes), run.of_function()
    for summary in summaries(run):
        if summary.cpu is None or not lanes < run.cpus or summary.workers_busy < 0.9 or summary.cpu < 0.9:
            continue
        gain = summary.took - job_time(all_rows[summary.function], run.cpus, run.cpus)
        if summary.tasks >= run.cpus:
            title = f"{summary.function} used {lanes} of {run.cpus} CPUs, all the time."
            advice = f"Pool({run.cpus}), or Pool() alone, would save about {span(gain)}."
            yield Finding("few-workers", "tip", title, advice, gain)


def large_results(run: Run) -> Iterator[Finding]:
    """Results are large and many: they are copied, and stay in memory."""
    for summary in summaries(run):
        if summary.returned >= 1 << 30 and summary.returned / summary.tasks >= 1 << 20:
            each = size(summary.returned // summary.tasks)
            title = f"{summary.function} returned {size(summary.returned)}, {each} a task."
            advice = (
                "Let tasks return less, write into memory that is shared (SharedMemory, Array) or into a file, "
                "and take results by imap()."
            )
            yield Finding("large-results", "tip", title, advice, summary.returned / (2 << 30))


def memory(run: Run) -> Iterator[Finding]:
    """A worker's memory has only grown."""
    worst = None
    for life in run.lives:
        sizes = [bytes for _, bytes in life.memory]
        third = len(sizes) // 3
        if third < 5:
            continue
        parts = [max(sizes[at * third : (at + 1) * third]) for at in range(3)]
        grown = parts[2] - parts[0]
        if parts[0] < parts[1] < parts[2] and grown > 100 << 20 and grown > 0.5 * parts[0]:
            worst = max(worst or (0, 0, life), (grown, parts[2], life), key=lambda each: each[0])
    if worst:
        grown, last, life = worst
        title = f"{run.lanes[life.lane].capitalize()} has grown by {size(grown)}, to {size(last)}."
        advice = (
            "Something keeps what tasks have made, such as a cache. "
            "maxtasksperchild= and max_memory= have workers replaced in time."
        )
        yield Finding("memory", "warn", title, advice, 0.0)


def retries(run: Run) -> Iterator[Finding]:
    """Tasks were lost with their workers, or failed, and took time for nothing."""
    lost = [row for row in run.rows if row.outcome in (RAISED, DIED)]
    died = sum(row.count for row in lost if row.outcome == DIED)
    seconds = sum(row.busy for row in lost)
    if died:
        title = f"{died} task{'s' if died > 1 else ''} died with {'their' if died > 1 else 'its'} worker."
        advice = (
            "What went wrong is in the list of failures; where the kernel ends them for their memory, fewer workers or "
            "max_memory= help."
        )
        yield Finding("retries", "bad", title, advice, seconds / max(1, len(run.lanes)))


FINDERS = (
    in_line, tail, chunks, waits, gap, start, small_tasks, pickling, few_workers, large_results, memory, retries,
)  # fmt: skip
