"""`procession top` on a terminal: what a user sees, on one that is kept in memory."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import procession
import pyte
import pytest
from tasks.seeing import held, use

LIMIT_S = 60


class Terminal:
    """A program on a terminal of so many columns and rows."""

    def __init__(self, arguments, columns, rows, first="", **environment):
        control, terminal = pty.openpty()
        self._control = control
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(columns, rows)
        self.settings = termios.tcgetattr(terminal)
        code = f"import sys; from procession.cli import main\n{first}\nmain(sys.argv[1:])"
        env = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**env, "PYTHONIOENCODING": "utf-8", **environment},
            start_new_session=True,
        )
        self._terminal = terminal
        self.raw = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self._control, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys):
        os.write(self._control, keys.encode())

    def read(self, limit):
        if select.select([self._control], [], [], limit)[0]:
            data = os.read(self._control, 1 << 16)
            self.raw += data
            self._stream.feed(data)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, *wanted, without=None):
        """Read until all these texts are on the screen."""
        end = time.monotonic() + LIMIT_S
        while not all(text in self.text() for text in wanted) or (without and without in self.text()):
            assert time.monotonic() < end, f"never {wanted} on\n{self.text()}"
            self.read(0.1)
        return self.text()

    def ends(self):
        """Wait for the end; return the exit code."""
        end = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < end
            self.read(0.05)
        self.read(0)
        return self.process.returncode

    def is_restored(self):
        return not self.screen.cursor.hidden and termios.tcgetattr(self._terminal) == self.settings

    def hang_up(self):
        """Close the user's side; return the exit code."""
        os.close(self._control)
        self._control = None
        return self.process.wait(LIMIT_S)

    def close(self):
        self.process.kill()
        self.process.wait()
        if self._control is not None:
            os.close(self._control)
        os.close(self._terminal)


@pytest.fixture
def terminal():
    """Makes terminals."""
    made = []

    def make(columns, rows, *arguments, **environment):
        made.append(Terminal(["top", "--interval", "0.2", *arguments], columns, rows, **environment))
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
    screen.until("No pool of yours runs", without="held")
    screen.press("q")
    assert screen.ends() == 0 and screen.is_restored()


def test_keys_choose_show_stacks_filter_and_hold(busy, terminal):
    screen = terminal(100, 30, os.getpid())
    screen.until("held[")
    screen.press("\x1b[B")
    screen.press("s")
    screen.until("in held", "back to the table")
    screen.press("x")
    screen.until("held[", "choose")
    screen.press("o")
    screen.until(" o  cpu")
    screen.press("/nothing\r")
    screen.until("No pool of yours runs", "nothing")
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


@pytest.mark.parametrize("first, code", [("", 0), (OWN, 128 + signal.SIGHUP)], ids=["someone's", "its own"])
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
