"""`procession top` on a terminal: the table again and again, on a screen of its own, with keys."""

import argparse
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty

from procession.cli import table
from procession.cli.stacks import stacks
from procession.cli.survey import Survey, belonging
from procession.cli.text import ascii_only

__all__ = ["follow"]

# A screen of its own without a cursor; and back.
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"
HOME, END_OF_LINE, REST = "\x1b[H", "\x1b[K", "\x1b[J"
# How soon a changed size is noticed.
LOOK_S = 0.25
STACKS_S = 1.0
ORDERS = ("place", "cpu", "memory", "time")
_KEYS = {"\x1b[A": "up", "\x1bOA": "up", "k": "up", "\x1b[B": "down", "\x1bOB": "down", "j": "down", "\x03": "q"}


def follow(options: argparse.Namespace) -> None:
    """Show the table until `q` or Ctrl-C, or until the terminal is gone.

    Args:
        options: `pid` and `interval`, as the command line gave them.
    """
    terminal = Terminal(sys.stdin.fileno(), sys.stdout)
    view = View(options.pid)
    try:
        terminal.enter()
        while not (view.quits or terminal.is_gone):
            view.look()
            until = time.monotonic() + options.interval
            terminal.draw(view)
            while not view.quits and (left := until - time.monotonic()) > 0:
                keys = terminal.keys(min(left, LOOK_S))
                for key in keys:
                    view.press(key)
                if keys or terminal.has_changed():
                    terminal.draw(view)
    except KeyboardInterrupt:
        pass
    finally:
        terminal.leave()


class View:
    """What is shown: which pools, in which order, which worker is chosen.

    Attributes:
        quits: whether `q` was pressed.
    """

    def __init__(self, pids):
        self._pids = pids
        self._survey = Survey()
        self._chosen = None
        self._order = 0
        self._filter = ""
        self._typing = self._holds = False
        self._stacks = ""
        self.quits = False

    def look(self) -> None:
        """Look once more, unless the view is held."""
        if not self._holds:
            self._survey.look()

    def press(self, key: str) -> None:
        """Do what a key means."""
        if self._typing:
            self._type(key)
        elif self._stacks and key != "q":
            self._stacks = ""
        elif key == "q":
            self.quits = True
        elif key in ("up", "down"):
            self._choose(1 if key == "down" else -1)
        elif key == "o":
            self._order = (self._order + 1) % len(ORDERS)
        elif key == "/":
            self._typing, self._filter = True, ""
        elif key == " ":
            self._holds = not self._holds
        elif key == "s":
            self._take_stacks()

    def _type(self, key):
        if key in ("\r", "\n"):
            self._typing = False
        elif key == "\x1b":
            self._typing, self._filter = False, ""
        elif key in ("\x7f", "\b"):
            self._filter = self._filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self._filter += key

    def _pools(self):
        pools = belonging(self._survey, self._pids)
        if self._filter:
            pools = [pool for pool in pools if any(self._filter in text for text in _texts(pool))]
        keys = {
            "place": lambda worker: worker["place"],
            "cpu": lambda worker: -worker["cpu_percent"],
            "memory": lambda worker: -worker["rss"],
            "time": lambda worker: -(worker["task"] or {"seconds": 0.0})["seconds"],
        }
        order = keys[ORDERS[self._order]]
        return [{**pool, "workers": sorted(pool["workers"], key=order)} for pool in pools]

    def _choose(self, step):
        pids = [worker["pid"] for pool in self._pools() for worker in pool["workers"]]
        if pids:
            now = pids.index(self._chosen) if self._chosen in pids else (-1 if step > 0 else len(pids))
            self._chosen = pids[max(0, min(len(pids) - 1, now + step))]

    def _take_stacks(self):
        for pool in self._pools():
            for worker in pool["workers"]:
                if worker["pid"] == self._chosen or self._chosen is None:
                    self._stacks = stacks(pool, worker, STACKS_S)
                    return

    def lines(self, width: int, height: int) -> list[table.Line]:
        """Return the lines of the screen, of which the last says what keys there are."""
        if self._stacks:
            lines = [[(line, "")] for line in self._stacks.splitlines()]
            return table.cut_lines([*lines[: height - 1], [("any key", "chosen"), (" back to the table", "")]], width)
        lines = table.lines_of(self._pools(), self._survey, width, self._chosen)
        room = height - 1
        marked = next((at for at, line in enumerate(lines) if line and line[0][1] == "chosen"), 0)
        first = max(0, min(marked - room // 2, len(lines) - room)) if len(lines) > room else 0
        shown = lines[first : first + room]
        below = len(lines) - first - len(shown)
        return [*shown, *[[]] * (room - len(shown)), *table.cut_lines([self._foot(below, width)], width)]

    def _foot(self, below, width):
        if self._typing:
            return [("/", "chosen"), (f" {self._filter}", "")]
        keys = {
            "↑↓": "choose",
            "s": "stacks",
            "o": ORDERS[self._order],
            "/": self._filter or "filter",
            "space": "held, go on" if self._holds else "hold",
            "q": "quit",
        }
        foot: list[table.Line] = [[(f" {key} ", "chosen"), (f" {meaning} ", "")] for key, meaning in keys.items()]
        foot.append([(f"  +{below} line{'' if below == 1 else 's'}", "strong")] if below else [])
        foot.append([(f"  looked in {1000 * self._survey.took:.0f} ms", "dim")])
        return table.fitted(foot, (7, 2, 4, 3, 1), width)


def _texts(pool):
    yield pool["program"]
    for job in pool["jobs"]:
        yield job["function"]


class Terminal:
    """A terminal that is given back as it was.

    Args:
        number: the descriptor that keys come from.
        output: what is written to, a text file.

    Attributes:
        is_gone: whether nothing can be written to it any more.
    """

    def __init__(self, number, output):
        self._number = number
        self._output = output
        self.is_gone = False
        self._before = None
        self._size = None
        self._is_own = _leads_on(number)
        self._handlers = {}

    def enter(self) -> None:
        """Take the screen, and the keys one by one."""
        self._handlers = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, _end),
            signal.SIGHUP: signal.signal(signal.SIGHUP, _end),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._pause),
        }
        self._take()

    def _take(self):
        if os.isatty(self._number):
            self._before = termios.tcgetattr(self._number)
            tty.setcbreak(self._number)
        self._write(ENTER)

    def _write(self, text):
        try:
            self._output.write(text)
            self._output.flush()
        except OSError:  # nobody is there any more; what is kept of it would be tried again at the end of the program
            self.is_gone = True
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._output.fileno())
            os.close(nowhere)

    def leave(self) -> None:
        """Give all of it back."""
        self._give()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _give(self):
        if self._before is not None:
            try:
                termios.tcsetattr(self._number, termios.TCSADRAIN, self._before)
            except (OSError, termios.error):  # it is gone
                pass
            self._before = None
        self._write(LEAVE)

    def _pause(self, number, frame):
        self._give()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._size = None

    def keys(self, limit: float) -> list[str]:
        """Return the keys that were pressed within `limit` seconds; names for those that are several characters."""
        ready, _, _ = select.select([self._number], [], [], limit)
        if not ready:
            return []
        try:
            text = os.read(self._number, 1024).decode(errors="replace")
        except OSError:
            text = ""
        if not text:  # the terminal is gone
            if self._is_own:
                _end(signal.SIGHUP, None)  # as that signal says, which may come later
            return ["q"]
        found = []
        while text:
            name = next((name for name in _KEYS if text.startswith(name)), text[0])
            found.append(_KEYS.get(name, name))
            text = text[len(name) :]
        return found

    def has_changed(self) -> bool:
        """Return whether the terminal has another size than when it was drawn."""
        return self._size != shutil.get_terminal_size()

    def draw(self, view: View) -> None:
        """Draw a view."""
        self._size = shutil.get_terminal_size()
        lines = view.lines(self._size.columns, self._size.lines)
        text = table.plain(lines) if os.environ.get("NO_COLOR") else table.colored(lines)
        text = ascii_only(text).replace("\n", END_OF_LINE + "\r\n")
        self._write(HOME + text + END_OF_LINE + REST)


def _end(number, frame):
    sys.exit(128 + number)


def _leads_on(number):
    """Return whether this process leads the session of the terminal behind a descriptor, and hears when that goes."""
    try:
        return os.tcgetpgrp(number) > 0 and os.getsid(0) == os.getpid()
    except OSError:
        return False
