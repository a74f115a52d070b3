"""A terminal that is kept in memory, with a program on it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

import pyte

LIMIT_S = 60


class Terminal:
    """A program of this interpreter, `python *arguments`, on a terminal of so many columns and rows.

    Attributes:
        raw: all that it wrote.
        frames: what was to be seen, line by line, each time when nothing more came at once.
    """

    def __init__(self, arguments, columns, rows, **environment):
        control, terminal = pty.openpty()
        self._control = control
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(columns, rows)
        self.settings = termios.tcgetattr(terminal)
        env = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**env, "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        self._terminal = terminal
        self.raw = b""
        self.frames = []

    def resize(self, columns, rows):
        fcntl.ioctl(self._control, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys):
        os.write(self._control, keys.encode())

    def read(self, limit):
        """Take what comes, waiting for it at most so long; return whether something came."""
        came = False
        while select.select([self._control], [], [], 0.0 if came else limit)[0]:
            data = os.read(self._control, 1 << 16)
            self.raw += data
            self._stream.feed(data)
            came = True
        if came:
            self.frames.append(self.lines())
        return came

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

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
            assert time.monotonic() < end, f"no end of\n{self.text()}"
            self.read(0.05)
        while self.read(0):
            pass
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
