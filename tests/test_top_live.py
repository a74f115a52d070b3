"""`procession top` on a terminal: what a user sees, on one that is kept in memory."""

import os
import signal
import time

import procession
import pytest
from tasks.seeing import held, use
from tasks.terminal import LIMIT_S, Terminal


@pytest.fixture
def terminal():
    """Makes terminals."""
    made = []

    def make(columns, rows, *arguments, first="", **environment):
        code = f"import sys; from procession.cli import main\n{first}\nmain(sys.argv[1:])"
        command = ["-c", code, "top", "--interval", "0.2", *arguments]
        made.append(Terminal(command, columns, rows, **environment))
        return made[-1]

    yield make
    for one in made:
        one.close()
    made.clear()


@pytest.fixture
def busy():
    """A pool of two whose tasks wait, in a list."""
    go = procession.Event()
    with procession.Pool(2, initializer=use, initargs=(go,)) as pool:
        kept = [pool, go, pool.map_async(held, range(6), chunksize=1)]
        yield kept
        kept.clear()
        go.set()
        pool.close()
        pool.join()
        del go


@pytest.mark.parametrize("columns, rows", [(80, 24), (120, 40)])
def test_a_pool_comes_and_goes_and_q_gives_the_screen_back(columns, rows, busy, terminal):
    screen = terminal(columns, rows, os.getpid())
    text = screen.until("held[", "0/6", "quit")
    assert text.splitlines()[0].startswith(" procession top   1 pool")
    assert text.splitlines()[rows - 1].startswith(" ↑↓  choose")
    pool, go, result = busy
    busy.clear()
    go.set()
    result.get(LIMIT_S)
    screen.until("6/6", "idle")
    pool.terminate()
    screen.until("No pool", without="held")  # others of this user may run meanwhile
    screen.press("q")
    assert screen.ends() == 0 and screen.is_restored()


def test_keys_choose_show_stacks_filter_and_hold(busy, terminal):
    screen = terminal(100, 30, os.getpid())
    screen.until("held[")
    screen.press("\x1b[B")
    text = ""
    while "in held" not in text:  # a worker that gets no CPU for so long is said not to answer
        screen.press("s")
        text = screen.until("back to the table")
        screen.press("x")
        screen.until("held[", "choose")
    screen.press("o")
    screen.until(" o  cpu")
    screen.press("/nothing\r")
    screen.until("No pool is here", "nothing")
    screen.press("/\x1b")
    screen.until("held[")
    screen.press(" ")
    screen.until("held, go on")
    screen.press("q")
    assert screen.ends() == 0


def test_another_size_is_noticed(busy, terminal):
    screen = terminal(120, 40, os.getpid())
    screen.until("held[", "MEM")
    screen.resize(80, 24)
    end = time.monotonic() + LIMIT_S
    while not screen.screen.display[23].startswith(" ↑↓  choose"):
        assert time.monotonic() < end, screen.text()
        screen.read(0.1)
    screen.press("q")
    assert screen.ends() == 0


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 0)])
def test_a_signal_gives_the_screen_back(number, code, busy, terminal):
    screen = terminal(80, 24, os.getpid())
    screen.until("held[")
    screen.process.send_signal(number)
    assert screen.ends() == code and screen.is_restored()


OWN = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"


LATE = "; import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])"  # one that comes after the end


@pytest.mark.parametrize(
    "first, code",
    [("", 0), (OWN, 128 + signal.SIGHUP), (OWN + LATE, 128 + signal.SIGHUP)],
    ids=["someone's", "its own", "its own before the signal"],
)
def test_a_terminal_that_is_gone_is_the_end(first, code, busy, terminal):
    screen = terminal(80, 24, os.getpid(), first=first)
    screen.until("held[")
    assert screen.hang_up() == code


def test_no_colours_where_nobody_wants_them(busy, terminal):
    screen = terminal(80, 24, os.getpid(), NO_COLOR="1")
    screen.until("held[")
    screen.press("q")
    screen.ends()
    assert b"\x1b[32m" not in screen.raw and b"\x1b[1m" not in screen.raw
