"""What the workers of a pool write to standard output and error, as whole lines in their parent.

A worker has a pipe in place of each of the two, so what C code or a program that a task starts writes comes, too, and
what is in a pipe outlives its worker. Before and after a task the worker writes a mark with the task's name into both.
The parent reads them in a thread of the pool, and once more before it hands out results.
"""

import contextlib
import io
import os
import posix  # whose calls do not wait where there is nothing, as those of `os` do once eventlet has replaced them
import re
import sys
import threading
import traceback
from collections import deque
from typing import NamedTuple

from procession._objects.descriptors import pipe
from procession._pool.texts import running_name
from procession._procession import ONE_RING, Poller, has_green_threads, make_bell, wait_readable

__all__ = ["Capture", "OutputLine", "speak", "target"]

STREAMS = ("stdout", "stderr")
# A line that is longer comes in pieces.
MOST_LINE_BYTES = 64 << 10
# Pipes hold as much, so two reads take what was there when the first began.
_READ_BYTES = 64 << 10
# The pause of a reader before it reads again: marks that come close together do not wake it each.
_PAUSE_S = 0.002
_MOST_NAME = 200
# How long a pool that ends waits for the callable that gets the lines.
END_LIMIT_S = 5.0
_LINE_BUFFERED = 1  # _IOLBF


class OutputLine(NamedTuple):
    """A line that a worker wrote.

    Attributes:
        text: the line, without its end; what is no UTF-8 is escaped.
        stream: "stdout" or "stderr".
        worker: the name of the worker's process.
        pid: its number.
        task: the task that ran, as `function[index]`; an empty text if none did.
    """

    text: str
    stream: str
    worker: str
    pid: int
    task: str


OutputLine.__module__ = "procession.pool"  # where programs find it


def target(wish):
    """Return what is called with each line, or None, for the argument `capture_output` of a pool.

    Raises:
        TypeError: it is neither a bool nor a callable.
    """
    if isinstance(wish, bool):
        return _show if wish else None
    if callable(wish):
        return wish
    raise TypeError(f"capture_output must be True, False or a callable that takes a line, not {wish!r}")


def _show(line):
    stream = getattr(sys, line.stream)
    if stream is not None:
        stream.write(f"{line.worker} {line.task}: {line.text}\n" if line.task else f"{line.worker}: {line.text}\n")


# -- in the parent --------------------------------------------------------------------------------------------------


class _OutputStream:
    """The reading end of one pipe of a worker."""

    def __init__(self, descriptor, name, mark):
        self.descriptor = descriptor
        self.worker = ("", 0)
        self._name = name
        self._start, self._mark = mark
        self._task = ""
        self._line = b""  # one that has not ended
        self._held = b""  # what may become a mark

    def take(self, data, lines):
        """Add the lines that `data` completes to `lines`."""
        data = self._held + data
        at = 0
        for mark in self._mark.finditer(data):
            self._split(data[at : mark.start()], lines)
            self.end_line(lines)
            self._task = mark[1].decode(errors="replace")
            at = mark.end()
        last = data.rfind(b"\0", at)
        begun = last >= 0 and (self._start.startswith(data[last:]) or data.startswith(self._start, last))
        end = last if begun and len(data) - last <= len(self._start) + 4 * _MOST_NAME else len(data)
        self._held = data[end:]
        self._split(data[at:end], lines)

    def _split(self, data, lines):
        *whole, self._line = (self._line + data).split(b"\n")
        for line in whole:
            self._add(self._cut(line, lines), lines)
        self._line = self._cut(self._line, lines)

    def _cut(self, line, lines):
        """Add all pieces of a long line but the last, and return that."""
        while len(line) > MOST_LINE_BYTES:
            size = MOST_LINE_BYTES
            while size > MOST_LINE_BYTES - 3 and line[size] & 0xC0 == 0x80:  # within a character
                size -= 1
            self._add(line[:size], lines)
            line = line[size:]
        return line

    def end_line(self, lines):
        """End the line that has begun: no more of it will come."""
        if self._line:
            self._add(self._line, lines)
            self._line = b""

    def close(self, lines):
        self._split(self._held, lines)
        self.end_line(lines)
        os.close(self.descriptor)

    def _add(self, line, lines):
        lines.append(OutputLine(line.decode(errors="backslashreplace"), self._name, *self.worker, self._task))


class Capture:
    """Reads what the workers of a pool write.

    Args:
        on_line: is called with each `OutputLine`, in order within a stream of a worker, never by two threads at once.
    """

    def __init__(self, on_line):
        self.key = os.urandom(8).hex().encode()  # a task does not write a mark by chance
        start = b"\0" + self.key
        self._marks = start, re.compile(re.escape(start) + rb"([^\0]*)\0")
        self._on_line = on_line
        self._failed = False
        self._lines = deque()
        self._streams = {}
        self._lock = threading.RLock()
        self._thread = None
        self._wake = make_bell()
        self._poller = Poller()
        self._poller.add(self._wake)

    def pipes(self):
        """Return the two ends of a new worker's pipes: its streams, and descriptors for it."""
        streams, writers = [], []
        try:
            for name in STREAMS:
                reader, writer = pipe()
                os.set_blocking(reader, False)
                streams.append(_OutputStream(reader, name, self._marks))
                writers.append(writer)
        except BaseException:
            for descriptor in [*writers, *(stream.descriptor for stream in streams)]:
                os.close(descriptor)
            raise
        return streams, writers

    def listen(self, streams, process):
        """From now on give out what comes from `process`, a worker that was started."""
        with self._lock:
            for stream in streams:
                stream.worker = process.name, process.pid
                self._streams[stream.descriptor] = stream
                self._poller.add(stream.descriptor)
            if self._thread is None:
                self._thread = threading.Thread(target=self._read, name="PoolOutput", daemon=True)
                self._thread.start()

    def _read(self):
        from procession._green import wait as wait_green

        while True:
            if has_green_threads():
                wait_green([(self._poller.fileno(), False)], None)
            ready = self._poller.wait()
            if self._wake in ready:
                return
            self.hear(ready)
            wait_readable([self._wake], _PAUSE_S)

    def hear(self, ready=None):
        """Give out what has come. Does not wait for more; waits for `on_line`."""
        with self._lock:
            for descriptor in list(self._streams) if ready is None else ready:
                stream = self._streams.get(descriptor)
                if stream is not None and not self._drain(stream):
                    self._forget(stream)
            self._give_out()

    def _drain(self, stream):
        """Read what a pipe holds; False when nobody can write to it any more."""
        for _ in range(2):
            try:
                data = posix.read(stream.descriptor, _READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            stream.take(data, self._lines)
        return True

    def _forget(self, stream):
        del self._streams[stream.descriptor]
        # Before it is closed: a child that was forked may hold it open.
        self._poller.remove(stream.descriptor)
        stream.close(self._lines)

    def _give_out(self):
        # Lines are taken one by one: `on_line` may call the pool, which comes here again.
        while self._lines:
            try:
                self._on_line(self._lines.popleft())
            except Exception:
                if not self._failed:
                    self._failed = True
                    traceback.print_exc()

    def finish(self, streams):
        """Give out the last of a worker that has ended."""
        with self._lock:
            for stream in streams:
                # The number of one that was closed before may be another's.
                if self._streams.get(stream.descriptor) is stream:
                    self._drain(stream)
                    self._forget(stream)
            self._give_out()

    def close(self):
        """Give out the last of all, and end."""
        posix.write(self._wake, ONE_RING)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(END_LIMIT_S)
            if self._thread.is_alive():
                return  # `on_line` does not come back, so what is open has to stay
        with self._lock:
            self.finish(list(self._streams.values()))
            del self._poller
            os.close(self._wake)


# -- in the worker --------------------------------------------------------------------------------------------------


def speak(descriptors, key, forked, core, interrupts):
    """Write to `descriptors` instead of standard output and error from now on, with the marks of `Capture.key`.

    Args:
        forked: whether C buffers hold what the parent will write itself.
    """
    flush_c = _hurry_c_code(forked)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    for number, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, number)
    for number, name in enumerate(STREAMS, 1):
        stream = _Prompt(number, f"<{name}>")
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    speaker = _Speaker(descriptors, b"\0" + key, core, interrupts, flush_c)
    core.around_tasks(speaker.begin, speaker.end)


class _Prompt(io.TextIOWrapper):
    """A text stream that keeps nothing back: a worker may be killed at any moment."""

    def __init__(self, number, name):
        raw = io.FileIO(number, "w", closefd=False)
        raw.name = name
        super().__init__(io.BufferedWriter(raw), "utf-8", "backslashreplace")
        self.mode = "w"  # type: ignore[misc]

    def write(self, text):
        count = super().write(text)
        self.flush()
        return count


def _hurry_c_code(forked):
    """Have C code write out whole lines; return what makes it write the rest."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        (libc.__fpurge if forked else libc.fflush)(stdout)
        libc.setvbuf(stdout, None, _LINE_BUFFERED, ctypes.c_size_t(0))
        return lambda: libc.fflush(stdout)
    except (ImportError, OSError, ValueError, AttributeError):
        return lambda: None


class _Speaker:
    def __init__(self, descriptors, start, core, interrupts, flush_c):
        # Descriptors of the worker's own: a task may redirect 1 and 2.
        self._descriptors = descriptors
        self._start = start
        self._line = core.line()
        self._current = core.current
        self._interrupts = interrupts
        self._flush_c = flush_c

    def begin(self):
        self._mark(running_name(self._current, self._interrupts))

    def end(self):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        self._flush_c()
        self._mark("")
        self._line.note_sent()

    def _mark(self, name):
        mark = b"%b%b\0" % (self._start, name[:_MOST_NAME].replace("\0", "").encode(errors="replace"))
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                posix.write(descriptor, mark)
