"""How far a map is: numbers and words out of counts and times."""

import pytest
from procession._pool.amounts import whole_span
from procession._progress import words
from procession._progress.facts import Counts, Meter, TaskProgress


def task(worker=0, seconds=0.0, done=None, total=None, text=""):
    return TaskProgress("train", worker, worker, seconds, done, total, text)


def after(samples, total=100, workers=2, tasks=()):
    """The progress after outcomes that came as `samples` says, pairs of seconds and counts."""
    meter = Meter("train", workers, 100.0)
    for seconds, done in samples:
        progress = meter.progress(Counts(total, done, tasks=tasks), 100.0 + seconds)
    return progress


def test_the_rate_is_that_of_the_last_ten_seconds():
    slow_then_fast = [(s, s) for s in range(21)] + [(20 + s, 20 + 3 * s) for s in range(1, 21)]
    progress = after(slow_then_fast)
    assert progress.rate == pytest.approx(3.0)
    assert progress.left == pytest.approx(20 / 3)
    assert (progress.seconds, progress.done, progress.running) == (40.0, 80, 0)


def test_where_outcomes_take_longer_the_rate_is_of_two_a_worker():
    progress = after([(60.0 * n, n) for n in range(1, 9)])
    assert progress.rate == pytest.approx(1 / 60)
    assert progress.left == pytest.approx(92 * 60)


def test_a_batch_of_outcomes_does_not_throw_the_rate_back():
    rates = [after([(s, 10 * (s // 2)) for s in range(1, n)], total=1000).rate for n in range(14, 20)]
    assert max(rates) / min(rates) < 1.3


@pytest.mark.parametrize("samples", [[(0.5, 0)], [(1.0, 3)]])
def test_too_little_is_no_rate_to_tell_the_rest_by(samples):
    assert after(samples).left is None


def test_parts_of_tasks_count_for_the_rate():
    progress = after([(12.0, 0)], total=4, tasks=[task(0, 12.0, 3, 6), task(1, 12.0, 1, 2)])
    assert progress.rate == pytest.approx(1 / 12)
    assert progress.left == pytest.approx(36.0)


def test_of_the_last_tasks_the_longest_tells_how_long_it_takes():
    last = [task(0, 10.0, 5, 10), task(1, 10.0, 1, 5)]
    assert after([(20.0, 2)], total=4, tasks=last).left == pytest.approx(40.0)
    silent = after([(20.0, 2)], total=4, tasks=[task(0, 12.0), task(1, 3.0)])
    assert silent.left is None
    assert "last 2 run, longest 12 s" in words.facts(silent)[-1]


def test_nothing_is_left_at_the_end_and_nothing_is_negative():
    assert after([(1.0, 100)]).left == 0.0
    more_than_there_seemed_to_be = after([(1.0, 101)])
    assert more_than_there_seemed_to_be.left == 0.0
    fallen_back = Meter("train", 1, 0.0)
    fallen_back.progress(Counts(9, 0, tasks=[task(0, 1.0, 9, 10)]), 1.0)
    assert fallen_back.progress(Counts(9, 0, tasks=[task(0, 1.0, 0, 10)]), 2.0).rate >= 0.0


def test_an_endless_map_has_a_rate_and_no_end():
    progress = after([(s, s) for s in range(1, 12)], total=None)
    assert (progress.left, progress.total) == (None, None)
    assert words.line(progress) == "train 11 1.0/s"


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min"), (180000, "2 d 2 h")],
)
def test_durations(seconds, text):
    assert whole_span(seconds) == text


def test_a_line_says_all():
    progress = after([(s, 18 * s) for s in range(1, 24)], total=1000)
    assert words.line(progress) == "train 414/1,000 41 % 18/s 33 s left"
    meter = Meter("train", 2, 0.0)
    last = meter.progress(Counts(40, 40, failed=1, retried=2), 90.0, ended=True)
    assert words.line(last) == "train 40/40 1 failed 2 retried 27/min 1 min 30 s"


def test_rows_have_a_line_for_each_task_that_tells_and_eight_at_most():
    tasks = [task(n, 1.0, n, 10, "loss 1") for n in range(10)] + [task(10)]
    rows = words.rows([after([(1.0, 5)], tasks=tasks)])
    assert [row.name for row in rows] == ["train", *(f"  worker {n}" for n in range(8)), "  +2 more"]
    assert (rows[1].counts, rows[1].facts, rows[2].share) == ("0/10", ("loss 1",), 0.1)


def test_texts_of_others_give_no_orders_and_stay_in_their_line():
    assert words.clean("a\x1b[2Jb\r\nc\u202e") == "a\ufffd[2Jb\ufffd\ufffdc\ufffd"
    assert len(words.clean("x" * 500, 40)) == 40
    (row,) = words.rows([Meter("\x1b]0;x\x07" * 9, 1, 0.0).progress(Counts(1, 0), 1.0)])
    assert "\x1b" not in row.name and len(row.name) <= words.MOST_NAME


def test_lines_that_others_print_keep_their_colors_and_give_no_other_orders():
    line = "\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07\x1b[A\tend\x07\x1b"
    assert words.colored(line) == "\x1b[31mred\x1b[0m\tend"


@pytest.mark.parametrize("share, done", [(0.0, ""), (0.5, "━━"), (0.374, "━"), (0.375, "━╸"), (1.0, "━━━━")])
def test_a_bar_has_halves(share, done):
    assert words.bar(share, 4)[0] == done
    assert len("".join(words.bar(share, 4))) == 4
