"""Bars on a terminal: what is to be seen while workers print, die and are interrupted."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from tasks.terminal import LIMIT_S, Terminal

PROGRAM = Path(__file__).parent / "tasks" / "drawn.py"
# A line of a bar, by its name.
BAR = re.compile(r"^(  worker \d|steps|speak|bars|die|sleep|stay|len|work)\b ")


@pytest.fixture
def seen(tmp_path):
    """A file for which tasks wait, until they were seen."""
    return tmp_path / "seen"


@pytest.fixture
def terminal(seen):
    """Makes terminals with a program of `tasks/drawn.py`."""
    made = []

    def make(name, kind):
        made.append(Terminal([PROGRAM, name, kind], 110, 24, SEEN=str(seen)))
        return made[-1]

    yield make
    for one in made:
        one.close()
    made.clear()


def frames_with(screen, text):
    return [frame for frame in screen.frames if any(text in line for line in frame)]


def bar_is_last(frame):
    """Whether no other line stands between those of a bar, or below them."""
    lines = [line for line in frame if line]
    first = next((number for number, line in enumerate(lines) if " running" in line or "  worker" in line), len(lines))
    return all(map(BAR.match, lines[first:]))


@pytest.mark.parametrize("kind", ["rich", "tqdm"])
def test_tasks_that_tell_have_a_line_for_their_worker(kind, terminal, seen):
    screen = terminal("steps", kind)
    screen.until("worker 0", "/20", "step")
    seen.touch()
    assert screen.ends() == 0 and screen.is_restored()
    assert any(re.search(r"worker 0 .*\d/20 .*step \d", line) for frame in screen.frames for line in frame)
    assert all(map(bar_is_last, screen.frames)), screen.frames
    lines = [line for line in screen.lines() if line]
    assert len(lines) == 3 and re.match(r"steps .* 8/8  ", lines[0]), lines
    assert lines[1:] == ["[0, 1, 2, 3, 4, 5, 6, 7]", "after"]


@pytest.mark.parametrize("kind", ["rich", "tqdm"])
def test_what_is_printed_and_logged_comes_above_in_whole_lines(kind, terminal):
    screen = terminal("calls", kind)
    assert screen.ends() == 0 and screen.is_restored()
    assert all(map(bar_is_last, screen.frames)), screen.frames
    whole = {f"line {n} {what}" for n in range(6) for what in ("to stdout", "of a program")}
    whole |= {f"{what} {n}" for n in range(6) for what in ("record", "own record", "got")}
    halves = {f"line {n} in halves" for n in range(0, 6, 2)} | {"in halves"}
    halves |= {f"line {n} line {n} of a program" for n in range(6)} | {f"line {n}" for n in (1, 3, 5)}
    # What has no end yet may stay in its worker until the next task there prints.
    halves |= {f"line {n} line {after} to stdout" for n in (1, 3, 5) for after in range(6)}
    seen = {line for frame in screen.frames for line in frame if line}
    others = {line for line in seen if line not in whole | halves | {"after"} and not line.startswith("speak ")}
    assert not others, others
    # All of it has come, whatever has scrolled away.
    missing = {line for line in whole if line.encode() not in screen.raw}
    assert not missing, missing


@pytest.mark.parametrize("kind", ["rich", "tqdm"])
def test_what_is_written_over_again_and_again_is_the_workers_line(kind, terminal, seen):
    screen = terminal("bars", kind)
    screen.until("worker", "part 0 of")
    seen.touch()
    assert screen.ends() == 0 and screen.is_restored()
    assert any("worker" in line and re.search(r"part \d of \d", line) for frame in screen.frames for line in frame)
    assert all(map(bar_is_last, screen.frames)), screen.frames
    assert {f"parts of {n} done" for n in range(8)} <= set(screen.lines())


def test_who_prints_more_than_a_pipe_holds_is_heard_though_nobody_draws(terminal):
    screen = terminal("flood", "rich")
    assert screen.ends() == 0 and screen.is_restored()
    assert [line for line in screen.lines() if line][-2:] == ["[0, 1]", "after"]
    assert all(f"{n} 799".encode() in screen.raw for n in range(2))


def test_a_worker_that_dies_has_its_last_words_above(terminal):
    screen = terminal("die", "rich")
    assert screen.ends() == 0 and screen.is_restored()
    lines = [line for line in screen.lines() if line]
    assert "last words" in lines and lines[-2:] == ["it died", "after"]
    assert re.match(r"die .* 8/8  1 failed", lines[-3]), lines


@pytest.mark.parametrize("kind", ["rich", "tqdm"])
def test_ctrl_c_leaves_the_bar_and_the_cursor(kind, terminal):
    screen = terminal("interrupted", kind)
    screen.until("running")
    os.kill(screen.process.pid, signal.SIGINT)
    assert screen.ends() == 0 and screen.is_restored()
    lines = [line for line in screen.lines() if line]
    assert lines[-2:] == ["interrupted", "after"] and re.match(r"sleep .* 0/4", lines[-3]), lines


@pytest.mark.parametrize("kind", ["rich", "tqdm"])
def test_a_map_outlives_its_terminal(kind, terminal):
    screen = terminal("outlive", kind)
    screen.until("2 running")
    assert screen.hang_up() == 0


@pytest.mark.parametrize("kind", ["rich", "tqdm"])
def test_maps_within_a_map_have_a_line_below_it_and_vanish(kind, terminal, seen):
    screen = terminal("nested", kind)
    screen.until("steps ", "stay ")
    seen.touch()
    assert screen.ends() == 0 and screen.is_restored()
    both = [frame for frame in frames_with(screen, "steps ") if any(line.startswith("stay ") for line in frame)]
    assert both and all(map(bar_is_last, screen.frames)), screen.frames
    lines = [line for line in screen.lines() if line]
    assert [line.split()[0] for line in lines] == ["steps", "len", "[1,", "after"], lines


def test_a_bar_is_there_while_it_lasts(terminal):
    screen = terminal("interrupted", "True")
    screen.until("0/4", "2 running")
    until = time.monotonic() + LIMIT_S
    while "1 s" not in screen.text():
        assert time.monotonic() < until
        screen.read(0.1)
