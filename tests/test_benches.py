"""The benchmarks measure what they say, beside every library that is installed, and say what cannot be measured."""

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from benches import interpreters, libraries, page, picture, readme
from benches.__main__ import ORDER, how, parser
from benches.aims import AtLeast, AtMost, Times, TimesBest
from benches.libraries import LIBRARIES, OURS, PEERS, STANDARD, NotOffered
from benches.measure import Failed, Taken, TooSlow, measure, numbers_in
from benches.runner import FAR, LONG_S, Found, Runner, spread
from benches.table import Comparison, change, every_library
from benches.workload import LIMIT, QUICK_PART, Workload

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "benches/rows"
LESS = Workload("a time", "ms", higher_is_better=False, aim=TimesBest(2))
WHOLE = Workload("a job", "s", higher_is_better=False, whole=True)
MORE = Workload("a rate", "k/s", each_start_method=True, aim={"fork": Times(3), "spawn": AtLeast(50)})
# Of the libraries without a pool.
OTHER_ROWS = {"SimpleQueue": "queue", "faster-fifo": "queue"}


@pytest.mark.parametrize("name", list(filter(libraries.installed, LIBRARIES)))
def test_a_library_that_is_installed_gives_a_number(name):
    assert measure(OTHER_ROWS.get(name, "payloads"), name, "fork", quick=True).number > 0


POOL_ROWS = [(row, name) for row in ("apply", "imap_unordered", "pool_again") for name in (STANDARD, OURS, "futures")]


@pytest.mark.parametrize("row, name", [*POOL_ROWS, ("broadcast_arguments", "futures"), ("job_words", OURS)])
def test_a_row_of_a_pool_gives_a_number(row, name):
    assert all(taken > 0 for taken in measure(row, name, "fork", quick=True))


@pytest.mark.parametrize(
    "row, start_method",
    [("scaling", "fork"), ("process_start", "fork"), ("process_start", "spawn"), ("pool_start", "fork")],
)
def test_the_machine_without_a_library_gives_a_number(row, start_method):
    assert measure(row, LIMIT, start_method, quick=True).number > 0


@pytest.mark.parametrize(
    "row, name, start_method, reason",
    [
        ("lock", "futures", "fork", "no Lock"),
        ("queue", "futures", "fork", "no Queue"),
        ("apply", "SimpleQueue", "fork", "no Pool"),
        ("process_start", "futures", "fork", "no Process"),
        ("process_start", "SimpleQueue", "fork", "no Process of its own"),
        ("process_start_numpy", "SimpleQueue", "fork", "no Process of its own"),
        ("pool_start", LIMIT, "spawn", "no number for spawn"),
    ],
)
def test_what_a_library_does_not_offer_is_told(row, name, start_method, reason):
    with pytest.raises(NotOffered, match=f"^{reason}$"):
        measure(row, name, start_method, quick=True)


def test_each_limit_of_the_machine_is_a_number():
    said = subprocess.run([sys.executable, "-m", "benches.limits", "--times", "1"], cwd=ROOT, stdout=subprocess.PIPE)
    _, _, *rows = said.stdout.decode().splitlines()
    assert said.returncode == 0 and len(rows) == 9
    assert all(float(row.strip("|").split("|")[-1]) > 0 for row in rows)


def test_a_library_with_a_way_of_its_own_to_start_processes_does_not_answer_for_another():
    with pytest.raises(NotOffered, match="no fork"):
        libraries.load("loky", "fork", each_start_method=True)
    assert libraries.load("loky", "fork").Pool and libraries.load("loky", "spawn", each_start_method=True).Pool


def test_a_measurement_that_fails_says_why():
    with pytest.raises(Failed, match="No module named benches.rows.brench"):
        measure("brench", OURS, "fork")


def test_a_measurement_ends_at_its_limit():
    with pytest.raises(TooSlow):
        measure("uneven", STANDARD, "fork", limit_s=0.01)


def test_a_peer_that_is_not_installed_is_left_out_and_told(monkeypatch, capfd):
    monkeypatch.setitem(LIBRARIES, "missing", libraries.Entry("no_such.module", "standard"))
    runner = Runner(1, True, ["missing", "futures"])
    found = runner.row("lock", LESS, "fork")
    assert runner.names == [STANDARD, OURS, "futures"]
    assert set(found.numbers) == {STANDARD, OURS}
    told = capfd.readouterr().err
    assert "not installed: missing" in told and "lock fork: no Lock in futures" in told
    assert every_library([(LESS, "fork", found)], runner.names)[-1].endswith(" | - |")


def fake(calls, numbers):
    """A `measure` that takes its numbers from lists by the name of the library, quick or not, or of the interpreter."""

    def measure(row, name, start_method, quick=False, python=sys.executable, limit_s=None):
        calls.append((name, "quick") if quick else name if python == sys.executable else python)
        taken = numbers[calls[-1]].pop(0)
        if isinstance(taken, Exception):
            raise taken
        return taken if isinstance(taken, Taken) else Taken(taken, 0)

    return measure


def test_rounds_alternate_and_medians_are_taken(monkeypatch):
    calls = []
    monkeypatch.setattr("benches.runner.measure", fake(calls, {STANDARD: [9, 3, 5], OURS: [1, 2, 6], LIMIT: [0, 0, 0]}))
    found = Runner(3, False).row("apply", LESS, "fork", has_limit=True)
    assert found.numbers == {STANDARD: 5, OURS: 2, LIMIT: 0}
    assert calls == [STANDARD, OURS, LIMIT, LIMIT, OURS, STANDARD, STANDARD, OURS, LIMIT]


LONG = LONG_S / QUICK_PART * 1.1


def asked(monkeypatch, workload, of_futures, ours=(1, 1), quick=False):
    """What is found in two rounds, and how the peer was asked that gives `of_futures`: quick or not, in which order."""
    calls, numbers = [], {STANDARD: [1, 1], OURS: list(ours), (STANDARD, "quick"): [1, 1], (OURS, "quick"): list(ours)}
    for call, taken in of_futures:
        numbers.setdefault(call, []).append(taken)
    monkeypatch.setattr("benches.runner.measure", fake(calls, numbers))
    found = Runner(2, quick, ["futures"]).row("apply", workload, "fork")
    return found, [call for call in calls if call == "futures" or call[0] == "futures"]


QUICK = "futures", "quick"


def test_a_peer_whose_work_would_take_long_is_asked_for_a_tenth(monkeypatch):
    found, calls = asked(monkeypatch, LESS, [(QUICK, Taken(2, LONG)), (QUICK, Taken(4, LONG))])
    assert calls == [QUICK, QUICK]
    assert found.numbers["futures"] == 3 and found.in_part == {"futures"}


def test_a_peer_whose_work_would_take_long_and_that_is_far_off_is_asked_once(monkeypatch):
    found, calls = asked(monkeypatch, LESS, [(QUICK, Taken(FAR + 1, LONG))])
    assert calls == [QUICK]
    assert found.numbers["futures"] == FAR + 1 and found.in_part == {"futures"}


def test_a_tenth_of_a_peer_that_does_not_take_long_is_no_number(monkeypatch):
    found, calls = asked(monkeypatch, LESS, [(QUICK, Taken(9, LONG / 2)), ("futures", 2), ("futures", 4)])
    assert calls == [QUICK, "futures", "futures"]
    assert found.numbers["futures"] == 3 and not found.in_part


@pytest.mark.parametrize("workload, far", [(LESS, FAR + 0.1), (MORE, 1 / (FAR + 0.1))])
def test_a_peer_that_is_far_off_is_asked_once_for_all_the_work(monkeypatch, workload, far):
    found, calls = asked(monkeypatch, workload, [(QUICK, 1), ("futures", far)])
    assert calls == [QUICK, "futures"]
    assert found.numbers["futures"] == far and not found.in_part


def test_a_peer_that_is_near_at_first_is_asked_as_often_as_all(monkeypatch):
    found, calls = asked(monkeypatch, WHOLE, [("futures", FAR), ("futures", FAR + 2)])
    assert calls == ["futures", "futures"]
    assert found.numbers["futures"] == FAR + 1


def test_a_peer_is_asked_for_the_whole_of_a_job_however_long_it_takes(monkeypatch):
    found, calls = asked(monkeypatch, WHOLE, [("futures", Taken(40, 40))])
    assert calls == ["futures"]
    assert found.numbers["futures"] == 40 and not found.in_part


def test_a_peer_is_asked_as_often_as_all_where_we_have_no_number(monkeypatch):
    found, calls = asked(monkeypatch, WHOLE, [("futures", 40), ("futures", 50)], ours=[Failed("no")])
    assert calls == ["futures", "futures"]
    assert OURS not in found.numbers


def test_a_peer_that_is_too_slow_for_a_number_is_not_asked_again(monkeypatch, capsys):
    found, calls = asked(monkeypatch, LESS, [(QUICK, TooSlow("no number after 1 s"))])
    assert calls == [QUICK] and "futures" not in found.numbers
    assert "apply fork, futures: no number after 1 s" in capsys.readouterr().err


def test_quick_rounds_ask_everyone_for_a_tenth_and_mark_nobody(monkeypatch):
    found, calls = asked(monkeypatch, LESS, [(QUICK, Taken(2, LONG)), (QUICK, 2)], quick=True)
    assert calls == [QUICK, QUICK] and not found.in_part


def test_the_standard_library_and_ours_are_measured_in_full_however_long_it_takes(monkeypatch):
    found, _ = asked(monkeypatch, LESS, [(QUICK, Taken(9, LONG))], ours=[Taken(1, 400), Taken(1, 400)])
    assert found.numbers[OURS] == 1


def test_a_number_of_a_tenth_of_the_work_is_marked_and_drawn():
    found = Found({STANDARD: 9, OURS: 2, "loky": 3.5}, in_part={"loky"})
    assert "| loky 3.5 (1/10) | 2 |" in Comparison(True, False).line(LESS, "fork", found)
    assert every_library([(LESS, "fork", found)], [STANDARD, OURS, "loky"])[-1].endswith("| 9 | 2 | 3.5 (1/10) |")
    assert page.number("3,500 (1/10)") == 3500 and page.number("-") is None
    row = {picture.TIMES: "6", "times better than the best peer": "2", "best peer": "loky 3.5 (1/10)"}
    assert picture._best_peer(row) == ("loky", 3)


@pytest.mark.parametrize(
    "arguments, said, unsaid",
    [
        ([], "medians of 3 rounds each, taken by turns.", "One number each"),
        (["--peers", "loky"], f"One number each of peers whose first was more than {FAR} times worse", "where that"),
        (["--peers", "loky"], f"worked for more than {LONG_S} s did a tenth of it, (1/10).", "where that"),
        (["--quick"], "taken by turns, each of a tenth of the work where that gives the number.", "(1/10)"),
    ],
)
def test_the_head_says_how_the_numbers_were_taken(arguments, said, unsaid):
    told = how(parser().parse_args(arguments), 3)
    assert said in told and unsaid not in told


def test_a_build_before_is_measured_in_pairs_of_changing_order(monkeypatch):
    calls = []
    numbers = {"/old/python": [10, 20, 30], OURS: [20, 20, 10]}
    monkeypatch.setattr("benches.runner.measure", fake(calls, numbers))
    found = Runner(0, False, before="/old/python", pairs=3).row("queue", MORE, "fork")
    assert found.pairs == [(10, 20), (20, 20), (30, 10)]
    assert calls == ["/old/python", OURS, OURS, "/old/python", "/old/python", OURS]


def test_a_row_that_the_build_before_cannot_run_shows_a_dash(monkeypatch):
    monkeypatch.setattr("benches.runner.measure", fake([], {"/old/python": [Failed("no such thing")]}))
    found = Runner(0, False, before="/old/python", pairs=3).row("queue", MORE, "fork")
    assert Comparison(False, True).line(MORE, "fork", found) == "| a rate, fork | k/s | - | - | - | - | - | 3x | - |"


def test_a_change_shows_its_median_its_middle_half_and_how_often_it_was_better():
    assert spread([1.0, 4.0, 2.0, 3.0, 5.0]) == (3, 2, 4)
    pairs = [(100, 97), (100, 96), (100, 102)]
    assert change(MORE, pairs) == "0.970 (0.965 to 0.995; better in 1 of 3; best 1.020)"
    assert change(LESS, pairs) == "1.031 (1.006 to 1.036; better in 2 of 3; best 1.042)"
    assert change(LESS, []) == "-"


@pytest.mark.parametrize(
    "aim, text, met, missed",
    [
        (Times(25), "25x", (1, 25, None), (1, 24.9, 30)),
        (TimesBest(1.25), "1.25x the best", (1, None, 1.3), (1, 3, 1.2)),
        (AtMost(1.03), "<= 1.03", (1.03, None, None), (1.04, 9, 9)),
        (AtLeast(0.98), ">= 0.98", (0.98, None, None), (0.9, 9, 9)),
    ],
)
def test_an_aim_is_met_or_missed_or_not_measured(aim, text, met, missed):
    assert str(aim) == text
    assert (aim.met(*met), aim.met(*missed), aim.met(None, None, None)) == (True, False, None)


@pytest.mark.parametrize(
    "workload, start_method, numbers, line",
    [
        (
            LESS,
            "fork",
            {STANDARD: 9, OURS: 2, "loky": 3},
            "a time | ms | 9 | loky 3 | 2 | 4.5 | 1.5 | - | 2x the best | no",
        ),
        (LESS, "fork", {STANDARD: 8, OURS: 2}, f"a time | ms | 8 | {STANDARD} 8 | 2 | 4 | 4 | - | 2x the best | yes"),
        (MORE, "fork", {OURS: 9, LIMIT: 99}, "a rate, fork | k/s | - | - | 9 | - | - | 99 | 3x | -"),
        (MORE, "spawn", {OURS: 60}, "a rate, spawn | k/s | - | - | 60 | - | - | - | >= 50 | yes"),
        (MORE, "forkserver", {STANDARD: 1}, f"a rate, forkserver | k/s | 1 | {STANDARD} 1 | - | - | - | - | - | -"),
    ],
)
def test_a_line_compares_with_the_standard_library_and_with_the_best(workload, start_method, numbers, line):
    table = Comparison(True, False)
    assert table.line(workload, start_method, Found(numbers)) == f"| {line} |"
    assert table.head()[0].count("|") == line.count("|") + 2


def test_the_program_prints_and_writes_both_tables(tmp_path):
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "benches", "--quick", "--rounds", "1", "--rows", "lock,queue"]
    command += ["--peers", "futures,SimpleQueue", "--before", sys.executable, "--pairs", "2", "--write", page]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=True)
    assert "| `Lock` acquire + release, free | ns | " in done.stdout and " of 2; best " in done.stdout
    assert "no Lock in futures, SimpleQueue" in done.stderr
    text = page.read_text()
    assert "| workload | unit | better | multiprocessing | procession | futures | SimpleQueue |" in text
    assert text.count("`Queue` of ints, one to one") == 2


@pytest.mark.parametrize("arguments", [["--peers", "lokki"], ["--rows", "aply"], ["--pairs", "0"], ["--rounds", "-1"]])
def test_a_wrong_argument_is_refused(arguments):
    done = subprocess.run([sys.executable, "-m", "benches", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "error: " in done.stderr


def test_every_row_is_in_the_order_and_says_what_it_measures():
    assert sorted(ORDER) == sorted(path.stem for path in ROWS.glob("*.py") if path.stem != "__init__")
    for row in ORDER:
        assert importlib.import_module(f"benches.rows.{row}").ROW.title


@pytest.mark.parametrize("row", sorted(ROWS.glob("*.py")), ids=lambda path: path.stem)
def test_a_row_knows_no_library_by_name(row):
    text = row.read_text()
    assert not {name for name in (STANDARD, OURS, *PEERS) if f"import {name}" in text or f'"{name}"' in text}


def test_every_peer_is_in_the_group_that_the_benchmarks_install():
    import tomllib

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["bench"]
    own = {"multiprocessing", "procession", "futures", "SimpleQueue"}
    assert set(LIBRARIES) - own <= set(wanted)


def test_a_page_is_filled_between_its_comments():
    text = "a\n<!-- speed: by hand -->\nold\n<!-- end -->\nb\n"
    assert readme.fill(text, "speed", ["x", "y"]) == "a\n<!-- speed: by hand -->\n\nx\n\ny\n\n<!-- end -->\nb\n"


@pytest.mark.parametrize("page", readme.PAGES)
def test_a_page_shows_what_was_measured_last(page):
    text = (ROOT / page).read_text()
    for name, parts in readme.PAGES[page].items():
        assert readme.fill(text, name, parts()) == text, "run python -m benches.readme"


def test_the_best_peer_of_a_picture_is_another_library():
    row = {picture.TIMES: "6", "times better than the best peer": "2", "best peer": "faster-fifo 3"}
    assert picture._best_peer(row) == ("faster-fifo", 3)
    assert picture._best_peer(row | {"best peer": f"{STANDARD} 3"}) is None
    assert picture._best_peer({picture.TIMES: "6"}) is None


def test_pictures_are_drawn_of_a_run_with_peers(tmp_path):
    numbers = {STANDARD: 9, OURS: 2, "loky": 3, "pebble": 4, "futures": 5, "billiard": 7}
    found = [(LESS, "fork", Found(numbers)), (MORE, "fork", Found({OURS: 2}))]
    table = Comparison(True, False)
    page = [*table.head(), *(table.line(*one) for one in found), "", *every_library(found, numbers)]
    (tmp_path / "table.md").write_text("\n".join(page))
    command = [sys.executable, "-m", "benches.picture", "--results", tmp_path / "table.md", "--into", tmp_path]
    done = subprocess.run(command, cwd=ROOT, timeout=60, stderr=subprocess.PIPE, text=True)
    if not find_spec("matplotlib"):
        assert done.returncode == 1 and "matplotlib" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    for picture_of in ("speed", "peers"):
        assert "loky" in (tmp_path / f"{picture_of}.svg").read_text()


def test_numbers_are_found_among_what_others_print():
    assert numbers_in("a hint\n1.5 0.25\nray: 3 more\n") == Taken(1.5, 0.25)
    with pytest.raises(Failed, match="no number"):
        numbers_in("and 3 more\n")


@pytest.mark.parametrize("kind", ["interpreters", "threads"])
def test_a_pool_beside_those_of_interpreters_gives_a_number_for_each_row(monkeypatch, kind):
    monkeypatch.setattr(
        interpreters, "ROWS", {text: (1, lambda pool: pool.apply(abs, (1,))) for text in interpreters.ROWS}
    )
    # An executor of threads stands for one of interpreters, which has the same methods where there are any.
    monkeypatch.setattr(interpreters.concurrent.futures, "InterpreterPoolExecutor", ThreadPoolExecutor, raising=False)
    figures = interpreters.measured(interpreters.KINDS[kind])
    assert set(interpreters.ROWS) < set(figures) and all(figure > 0 for figure in figures.values())


def test_what_it_costs_to_look_on_is_measured_by_pairs():
    rows = "progress_function,top,recording_short"
    command = [sys.executable, "-m", "benches.seeing", "--quick", "--pairs", "1", "--rows", rows]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == 3 and all(" s | " in line for line in lines)
