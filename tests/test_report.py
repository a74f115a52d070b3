"""What a report says of a run: findings, sums and the page, of timelines that are made here."""

import html.parser
import json
import re

import pytest
from procession._pool.amounts import size, span
from procession._report import findings as finders
from procession._report.findings import findings
from procession._report.functions import summaries
from procession._report.page import data, page
from procession._report.run import DIED, RAISED, UNFINISHED, Failure, Job, Life, PoolNote, Row, Run, thinned
from procession._report.schedule import job_time, longest_first, predicted
from procession._report.trace import trace


def run_of(rows, lanes=2, seconds=10.0, cpus=2, jobs=("work",), ready=0.0):
    """A run with workers that are there all the time."""
    run = Run("program.py", seconds, {"cpus": cpus, "when": "today"})
    run.pools = [PoolNote(1, 1, 0.0, lanes, "spawn")]
    run.lanes = [f"worker {lane}" for lane in range(lanes)]
    run.lives = [Life(lane, 100 + lane, 0.0, ready) for lane in range(lanes)]
    run.jobs = [Job(name, "map", 0.0, None) for name in jobs]
    run.rows = rows
    return run


def row(life, start, busy, *, job=0, first=0, count=1, outcome=0, cpu=1.0, line=0.0, **more):
    """A row whose shares of time are given."""
    return Row(life, job, outcome, first, count, start, busy, busy, cpu * busy, line * busy, **more)


def names(run):
    return [finding.name for finding in findings(run)]


def full(cpu=1.0, line=0.0, job=0, seconds=10):
    """Two workers, with a task a second each."""
    return [
        row(life, at, 1.0, job=job, first=2 * at + life, cpu=cpu, line=line) for at in range(seconds) for life in (0, 1)
    ]


def test_a_run_that_is_as_good_as_it_gets_has_no_finding():
    assert names(run_of(full())) == []
    assert names(run_of([])) == []
    assert names(run_of([row(0, 0.0, 1e-3)], seconds=1e-3)) == []


@pytest.mark.parametrize("lanes, words", [(2, "other programs"), (4, "Pool() takes as many")])
def test_tasks_that_stand_in_line(lanes, words):
    rows = [row(life, at, 1.0, cpu=0.4, line=0.6) for at in range(10) for life in range(lanes)]
    (finding,) = findings(run_of(rows, lanes))
    assert (finding.name, finding.level, round(finding.seconds, 6)) == ("in-line", "bad", 6.0)
    assert "60%" in finding.title and words in finding.advice
    assert ("other programs" in finding.advice) == (lanes == 2)  # four of them on two CPUs wait for each other
    assert names(run_of([one._replace(cpu=0.8, line=0.2) for one in rows], lanes)) == []
    assert names(run_of([one._replace(cpu=-1.0, line=-1.0) for one in rows], lanes)) == []


def test_a_job_that_ends_with_one_task_alone():
    rows = [*full(seconds=5), row(0, 5.0, 5.0, first=31)]
    (finding,) = findings(run_of(rows))
    assert (finding.name, finding.start, finding.end) == ("tail", 5.0, 10.0)
    assert "#31 ran 5.0 s" in finding.advice and "the other worker" in finding.advice
    # Longest first: 5 and five of one second on one worker, five of one second... together 15 s on two.
    assert finding.seconds == pytest.approx(10.0 - 8.0)
    # Where it is as long as all others together, nothing is to be gained.
    assert names(run_of([*full(seconds=5), row(0, 5.0, 1.0)], seconds=6.0)) == []


def test_numerical_libraries_with_too_many_threads():
    rows = [row(life, at, 1.0, cpu=0.8, line=0.2) for at in range(10) for life in (0, 1)]
    run = run_of(rows)
    run.about["math_threads"] = {"OMP_NUM_THREADS": 4, "MKL_NUM_THREADS": 1}
    (finding,) = findings(run)
    assert (finding.name, finding.level, round(finding.seconds, 6)) == ("math-threads", "bad", 2.0)
    assert "OMP_NUM_THREADS=4" in finding.title and "8 threads on 2 CPUs" in finding.advice
    for harmless in ({"OMP_NUM_THREADS": 1}, {}, None, {"OMP_NUM_THREADS": "x"}):
        run.about["math_threads"] = harmless
        assert names(run) == []


def test_a_job_that_ends_with_a_chunk_of_one_worker():
    rows = [*full(seconds=4), *(row(0, 4 + at / 2, 0.5, first=8 + at) for at in range(8))]
    (finding,) = findings(run_of(rows, seconds=8.0))
    assert (finding.name, finding.start, finding.end, finding.seconds) == ("chunks", 4.0, 8.0, 2.0)
    assert "last 8 tasks of one worker" in finding.title and "chunksize=" in finding.advice
    # Tasks that are merged in the recording count as many.
    merged = [*full(seconds=4), row(0, 4.0, 4.0, first=8, count=8000)]
    assert names(run_of(merged, seconds=8.0)) == ["chunks"]
    assert names(run_of([*full(seconds=4), row(0, 4.0, 0.5), row(1, 4.0, 0.4)], seconds=4.5)) == []


def test_arguments_that_are_large():
    rows = [row(life, at + life / 2, 0.5, first=2 * at + life, sent=8 << 20) for at in range(10) for life in (0, 1)]
    (finding,) = findings(run_of(rows))
    assert (finding.name, finding.level) == ("pickling", "warn")
    assert "160 MiB, 8.0 MiB a task" in finding.title and "pool.share()" in finding.advice
    assert finding.seconds == pytest.approx(5.0)
    assert names(run_of([one._replace(sent=1 << 10) for one in rows])) == []
    assert names(run_of([one._replace(sent=8 << 20) for one in full()])) == []


def test_a_function_that_waits():
    rows = full(cpu=0.05)
    (finding,) = findings(run_of(rows))
    assert (finding.name, finding.level) == ("waits", "tip")
    assert "95%" in finding.title and "ThreadPool(16)" in finding.advice
    assert finding.seconds == pytest.approx(10.0 - 2.0)  # two rounds of sixteen
    assert names(run_of(full(cpu=0.6))) == []


def test_workers_with_nothing_to_do_between_jobs():
    rows = full(seconds=3) + [one._replace(start=one.start + 5, job=1) for one in full(seconds=3)]
    (finding,) = findings(run_of(rows, jobs=("load", "score"), seconds=8.0))
    assert (finding.name, finding.start, finding.end, finding.seconds) == ("gap", 3.0, 5.0, 2.0)
    assert "before score" in finding.title


def test_workers_that_start_slowly():
    assert names(run_of([one._replace(start=one.start + 2) for one in full(seconds=8)], ready=2.0)) == ["start"]
    assert names(run_of(full(), ready=0.05)) == []


def test_tasks_that_are_too_small():
    rows = [row(life, at, 0.2, count=20_000) for at in range(10) for life in (0, 1)]
    assert names(run_of(rows)) == ["gap", "small-tasks"]
    assert "small-tasks" not in names(run_of([one._replace(count=20) for one in rows]))


def test_more_cpus_than_workers():
    (finding,) = findings(run_of(full(), cpus=8))
    assert (finding.name, round(finding.seconds, 3)) == ("few-workers", 7.0)  # 20 tasks of a second, on 8
    assert names(run_of(full(cpu=0.5), cpus=8)) == []


def test_results_that_are_large():
    rows = [one._replace(returned=1 << 30) for one in full()]
    (finding,) = findings(run_of(rows))
    assert finding.name == "large-results" and "20 GiB" in finding.title
    assert names(run_of([one._replace(returned=1 << 20) for one in rows])) == []


@pytest.mark.parametrize("sizes, found", [([100, 300, 900], True), ([900, 300, 100], False), ([100, 120, 130], False)])
def test_memory_that_only_grows(sizes, found):
    run = run_of(full())
    run.lives[1].memory = [(at, sizes[at // 6] << 20) for at in range(18)]
    assert names(run) == ["memory"] * found


def test_tasks_that_die():
    rows = full()
    rows[3] = rows[3]._replace(outcome=DIED)
    (finding,) = findings(run_of(rows))
    assert (finding.name, finding.title) == ("retries", "1 task died with its worker.")


def test_at_most_five_findings_those_that_cost_most_first():
    rows = [one._replace(outcome=DIED, returned=1 << 30) for one in full(cpu=0.2, line=0.3, seconds=2)]
    rows += [one._replace(start=one.start + 4, job=1, cpu=0.0, line=0.0) for one in full(seconds=2)] + [
        row(0, 6.0, 4.0, job=1)
    ]
    found = findings(run_of(rows, jobs=("a", "b"), ready=0.5))
    assert 3 <= len(found) <= 5
    assert [one.seconds for one in found] == sorted((one.seconds for one in found), reverse=True)


def test_each_finder_says_what_it_is_for():
    assert all(finder.__doc__ for finder in finders.FINDERS)


def test_what_is_said_of_a_function():
    rows = [row(0, at, 0.5, first=at) for at in range(9)] + [
        row(1, 9.0, 1.0, first=9, outcome=RAISED, cpu=0.0, line=1.0)
    ]
    rows += [row(1, 0.0, 1.0, job=1, count=1000)]
    first, second = summaries(run_of(rows, jobs=("a", "b")))
    assert (first.function, first.tasks, first.failed, first.took, first.busy) == ("a", 10, 1, 10.0, 5.5)
    assert (first.median, first.most, first.longest, first.shortest) == (0.5, 1.0, 1.0, 0.5)
    assert (round(first.cpu, 3), round(first.line, 3), first.workers_busy) == (0.818, 0.182, 5.5 / 20)
    assert (sum(first.histogram), first.histogram[0], first.histogram[-1]) == (10, 9, 1)
    assert (second.tasks, second.median, sum(second.histogram)) == (1000, 0.001, 1000)


def test_predictions():
    assert longest_first([3, 3, 2, 2, 2], 2) == 7  # a list that begins with the longest is not the best one
    assert longest_first([5, 1, 1], 8) == 5
    assert job_time(full(cpu=0.5), 4, cpus=1) == 10.0  # the CPU's work
    assert job_time(full(cpu=0.5, line=0.5), 2, cpus=2) == 5.0  # in line for nobody
    times = [predicted(run_of(full(cpu=0.1)), workers) for workers in (1, 2, 4, 8, 16)]
    assert times == [20.0, 10.0, 5.0, 3.0, 2.0]


def test_times_and_sizes_as_people_read_them():
    assert [span(x) for x in (0, 3e-8, 1.1e-5, 0.0025, 0.59, 6.12, 75, 130, 7260)] == [
        "0 s", "30 ns", "11 µs", "2.5 ms", "590 ms", "6.1 s", "75.0 s", "2 min 10 s", "2 h 1 min",
    ]  # fmt: skip
    assert [size(x) for x in (5, 2048, 53 << 20, 3 << 30)] == ["5 B", "2.0 KiB", "53 MiB", "3.0 GiB"]


class Tags(html.parser.HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.scripts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, text):
        if self.open and self.open[-1] == "script":
            self.scripts.append(text)


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x1b]0;x\x07"


@pytest.mark.parametrize("lanes, rows", [(1, 0), (1, 1), (4, 3000), (256, 20_000)])
def test_the_page_is_whole_and_loads_nothing(lanes, rows):
    made = [
        row(
            at % lanes,
            at * 1e-3,
            1e-3 * lanes,
            first=at,
            count=1 + at % 3,
            outcome=RAISED * (at % 50 == 49),
            returned=at,
        )
        for at in range(rows)
    ]
    run = run_of(made, lanes, seconds=rows * 1e-3)
    run.failures = [Failure(0, at, RAISED, "no", 0, 1e-3, 0.0) for at in range(rows // 50)]
    for life in run.lives:
        life.memory = [(at * 0.2, at << 20) for at in range(min(rows, 50))]
    text = page(run)
    tags = Tags(text)
    assert tags.open == []
    assert len(text) < 600_000
    assert not [
        one for one in tags.attributes if one[1] in ("src", "style", "srcset", "action") or one[1].startswith("on")
    ]
    assert "http://" not in text and "https://" not in text
    drawn = json.loads(tags.scripts[0])
    assert sum(sum(lane[4::9]) for lane in drawn["rows"]) == run.tasks and len(drawn["lanes"]) == lanes


def test_what_the_page_draws_are_the_rows():
    run = run_of(
        [
            row(0, 1.0, 0.25, first=7, cpu=0.5, line=0.25, returned=64),
            row(0, 2.0, 0.5, first=8, count=3),
            row(1, 0.5, 3.0),
        ]
    )
    drawn = data(run)
    assert drawn["rows"][0] == [1_000_000, 250_000, 0, 7, 1, 0, 50, 25, 64, 750_000, 500_000, 0, 0, 3, 0, 100, 0, 0]
    assert drawn["rows"][1] == [500_000, 3_000_000, 0, 0, 1, 0, 100, 0, 0]
    assert drawn["jobs"] == [[0, 500_000, 3_500_000]]


def test_names_and_messages_are_text():
    run = run_of([row(0, 0.0, 1.0, outcome=RAISED), *full()], jobs=(HOSTILE,))
    run.program = HOSTILE
    run.failures = [Failure(0, 0, RAISED, HOSTILE, 0, 1.0, 0.0)]
    text = page(run)
    tags = Tags(text)
    assert tags.open == [] and len(tags.scripts) == 2
    assert not any(tag == "img" or name.startswith("on") for tag, name, _ in tags.attributes)
    assert "\x1b" not in text
    assert json.loads(tags.scripts[0])["fn"] == [HOSTILE]
    policy = next(value for _, name, value in tags.attributes if name == "content" and "default-src" in value)
    assert (
        policy.startswith("default-src 'none';") and "unsafe" not in policy and len(re.findall("sha256-", policy)) == 2
    )


def test_rows_are_thinned_without_losing_any_task():
    rows = [row(at % 4, at * 1e-4, 4e-4, first=at, outcome=RAISED * (at % 1000 == 0)) for at in range(50_000)]
    run = run_of(rows, 4, seconds=5.0)
    fewer = thinned(run, 2000)
    assert len(fewer) <= 2000
    assert sum(one.count for one in fewer) == 50_000
    assert sum(one.busy for one in fewer) == pytest.approx(run.busy)
    assert sum(one.count for one in fewer if one.outcome == RAISED) == 50
    assert all(one.span >= one.busy - 1e-9 for one in fewer)


def test_the_trace_is_one_that_perfetto_reads():
    run = run_of([row(0, 0.0, 1.0), row(1, 0.5, 0.5, outcome=DIED), row(1, 1.0, 0.5, outcome=UNFINISHED)], ready=0.1)
    run.lives[0].memory = [(0.2, 5 << 20)]
    events = json.loads(json.dumps(trace(run)))["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert all(event["tid"] >= 100 and event["pid"] == 1 and event["dur"] >= 0 for event in spans)
    assert [event["name"] for event in spans][-3:] == ["work", "work (its worker died)", "work (not finished)"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}
