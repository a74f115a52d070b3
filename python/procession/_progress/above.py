"""What this process prints while a bar is drawn: whole lines, above it."""

import logging
import os
import sys
import threading

__all__ = ["Above", "is_same_terminal", "underlying"]


def underlying(stream):
    """Return the stream that was there before a bar."""
    return stream.stream if isinstance(stream, Lines) else stream


class Above:
    """Has what is printed to a terminal, and logged to it, come above its bar until `end`.

    Args:
        stream: what the bar is drawn on.
        write: is called with a list of lines.
    """

    def __init__(self, stream, write):
        self._put = {}
        for name in ("stdout", "stderr"):
            old = getattr(sys, name)
            if _is_of_terminal(old, stream):
                self._put[name] = Lines(underlying(old), write)
                setattr(sys, name, self._put[name])
        self._handlers = [
            (handler, Lines(underlying(handler.stream), write))
            for handler in _handlers()
            if isinstance(handler, logging.StreamHandler) and _is_of_terminal(handler.stream, stream)
        ]
        for handler, lines in self._handlers:
            handler.setStream(lines)

    def end(self):
        """Put everything back that is still there."""
        for handler, lines in self._handlers:
            lines.finish()
            if handler.stream is lines:
                handler.setStream(lines.stream)
        for name, lines in self._put.items():
            lines.finish()
            if getattr(sys, name) is lines:
                setattr(sys, name, lines.stream)


def _handlers():
    yield from logging.root.handlers
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield from logger.handlers


def is_same_terminal(one, other):
    """Return whether two descriptors are of the same terminal."""
    try:
        return os.isatty(one) and os.fstat(one).st_rdev == os.fstat(other).st_rdev
    except OSError:
        return False


def _is_of_terminal(stream, other):
    try:
        return is_same_terminal(stream.fileno(), other.fileno())
    except (AttributeError, OSError, ValueError):
        return False


class Lines:
    """Stands in for a text stream: gives on whole lines; everything else is that of the stream.

    Attributes:
        stream: what it stands in for.
    """

    def __init__(self, stream, write):
        self.stream = stream
        self._write = write
        self._begun = ""
        self._over = False
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def write(self, text):
        """Write text; what is no whole line yet waits for the rest."""
        if self._over or self._pid != os.getpid():  # a copy of the process has no bar
            return self.stream.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            *lines, begun = (self._begun + text).split("\n")
            # A program that writes over its line again and again means the last.
            self._begun = begun.rpartition("\r")[2] or begun
        if lines:
            self._write([line.rstrip("\r").rpartition("\r")[2] for line in lines])
        return len(text)

    def writelines(self, texts):
        """Write several texts."""
        for text in texts:
            self.write(text)

    def finish(self):
        """Write what has begun; from now on write straight on."""
        with self._lock:
            begun, self._begun, self._over = self._begun, "", True
        if begun:
            self._write([begun])

    def __getattr__(self, name):
        return getattr(self.stream, name)
