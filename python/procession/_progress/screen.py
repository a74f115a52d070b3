"""The one bar of this process on its terminal, with a line for each map that is waited for."""

import contextlib
import io
import os
import sys
import threading

from procession._progress import above
from procession._progress.words import colored

__all__ = ["line"]

# How long the end of a bar waits for a thread that draws it.
LIMIT_S = 5.0

_screen: "Screen | None" = None
_lock = threading.Lock()


def line(kind):
    """Return the line for a map, on the bar that is there, or else on a new one that the library `kind` draws."""
    global _screen, _lock
    if _screen is not None and not _screen.is_ours():  # a copy of the process, which has no bar
        _screen, _lock = None, threading.Lock()
    return Line(kind)


def _join(line):
    global _screen
    if not _lock.acquire(timeout=LIMIT_S):
        return None
    try:
        if _screen is None:
            _screen = Screen(line.kind)
        _screen.lines.append(line)
        return _screen
    finally:
        _lock.release()


class Line:
    """Draws a map.

    Args:
        kind: "rich" or "tqdm".
    """

    interval = 0.1
    is_on_terminal = True

    def __init__(self, kind):
        self.kind = kind
        self.progress = None
        self._screen = None

    def draw(self, progress):
        """Draw a `Progress`."""
        self.progress = progress
        if self._screen is None:
            self._screen = _join(self)
        if self._screen is not None:
            self._screen.draw()

    def above(self, texts):
        """Write lines that others have written above what is drawn."""
        if self._screen is None:
            self._screen = _join(self)
        if self._screen is not None:
            self._screen.above(texts)

    def close(self):
        """Leave the bar: that of one map stays where it is, what joined it vanishes."""
        if self._screen is not None:
            self._screen.leave(self)
            self._screen = None


class _Own(io.TextIOWrapper):
    """A stream of a bar's own to a terminal.

    What a terminal that is gone did not take stays in no buffer of the program's, over which it would fail at its end.
    """

    def end(self):
        """Close it."""
        with contextlib.suppress(OSError):
            self.close()


def _own(stream):
    """Return a stream of a bar's own to where another one writes, or that one if it has no descriptor to share."""
    try:
        stream.flush()
        file = os.fdopen(os.dup(stream.fileno()), "wb")
    except (AttributeError, OSError, ValueError):
        return stream
    return _Own(file, encoding=stream.encoding, errors=stream.errors, line_buffering=True)


class Screen:
    """What is drawn on the terminal.

    Attributes:
        lines: the maps that are drawn, in the order in which they came.
    """

    def __init__(self, kind):
        self._pid = os.getpid()
        self.lines = []
        self._is_gone = False
        self._stream = _own(above.underlying(sys.stderr))
        self._turn = threading.RLock()
        if kind == "rich":
            from procession._progress.with_rich import Terminal
        else:
            from procession._progress.with_tqdm import Terminal  # type: ignore[assignment]
        self._terminal = Terminal(self._stream)
        self._around = above.Above(self._stream, self.above)

    def is_ours(self):
        """Return whether this process draws it."""
        return self._pid == os.getpid()

    def draw(self):
        """Draw all lines, unless another thread does so just now."""
        if self._turn.acquire(blocking=False):
            try:
                shown = [line.progress for line in self.lines if line.progress is not None]
                self._write(self._terminal.draw, shown)
            finally:
                self._turn.release()

    def above(self, texts):
        """Write lines above the bar."""
        if self._turn.acquire(timeout=LIMIT_S):
            try:
                self._write(self._terminal.above, [colored(text) for text in texts])
            finally:
                self._turn.release()

    def _write(self, method, value):
        """Call a method of the terminal, unless that is gone: nobody sees the bar any more, and the maps go on."""
        if not self._is_gone:
            try:
                method(value)
            except OSError:
                self._is_gone = True

    def leave(self, line):
        """Take a line away; the last one ends the bar."""
        global _screen
        if not _lock.acquire(timeout=LIMIT_S):
            return
        try:  # at once: of two that leave, one is the last
            was_first = self.lines[0] is line
            self.lines.remove(line)
            is_last = not self.lines
            if is_last and _screen is self:
                _screen = None
        finally:
            _lock.release()
        if not self._turn.acquire(timeout=LIMIT_S):
            return
        try:
            if is_last:
                self._around.end()
                self._write(self._terminal.end, [line.progress] if line.progress is not None else [])
                if isinstance(self._stream, _Own):
                    self._stream.end()
                return
            if was_first and line.progress is not None:
                self._write(self._terminal.keep, line.progress)
            self.draw()
        finally:
            self._turn.release()
