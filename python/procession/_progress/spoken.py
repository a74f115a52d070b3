"""What workers print while a bar is drawn: whole lines, above it."""

import contextlib
import os
import posix  # whose calls do not wait where there is nothing, as those of `os` do once eventlet has replaced them
import sys
import threading
from time import monotonic, sleep

from procession._objects.descriptors import pipe
from procession._progress.above import is_same_terminal

__all__ = ["Speech", "of"]

# A line that is longer comes in pieces.
MOST_LINE_BYTES = 64 << 10
# How long a map that has ended waits for workers that are about to write out their last words.
LIMIT_S = 0.2
_PAUSE_S = 0.001
# How long a thread waits for another that writes such lines.
_TURN_S = 5.0


class _Ear:
    """The reading end of a pipe, by whose name the worker opens the other.

    Attributes:
        descriptor: that end.
        state: what the worker writes over again and again, as bars do.
    """

    def __init__(self):
        self.descriptor, writer = pipe()
        os.close(writer)
        os.set_blocking(self.descriptor, False)
        self.state = ""
        self._begun = b""

    def hear(self):
        """Return the whole lines that have come."""
        lines = []
        while data := self._read():
            *whole, self._begun = (self._begun + data).split(b"\n")
            lines += [line.rstrip(b"\r").rpartition(b"\r")[2] for line in whole]
            if b"\r" in self._begun:
                states = [part for part in self._begun.split(b"\r") if part.strip()]
                self.state = _text(states[-1]) if states else ""
                self._begun = self._begun.rpartition(b"\r")[2]
            elif whole:
                self.state = ""
            if len(self._begun) > MOST_LINE_BYTES:
                lines.append(self._begun)
                self._begun = b""
        return [_text(line) for line in lines]

    def _read(self):
        try:
            return posix.read(self.descriptor, MOST_LINE_BYTES)
        except OSError:  # there is nothing, or the program has closed it
            return b""

    def last(self):
        """Return what has come without an end."""
        begun, self._begun, self.state = self._begun, b"", ""
        return [_text(begun)] if begun.strip() else []


def _text(line):
    return line.decode(errors="backslashreplace")


def of(crew):
    """Return what hears the workers of a pool; None where they do not write to the terminal that is drawn on."""
    if crew.speech is None and sys.stderr is not None:
        try:
            descriptor = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):
            return None
        numbers = [number for number in (1, 2) if is_same_terminal(number, descriptor)]
        if numbers:
            crew.speech = Speech(crew, numbers)
    return crew.speech


class Speech:
    """Has the workers of a pool write to pipes while they run tasks that begin while a bar is drawn.

    The pipes stay until the pool ends: who is in the midst of a task may write to them longer than the bar is there.
    Whoever drives the pool hears what comes, so that nobody waits for ever whose pipe is full.

    Args:
        crew: of processes.
        numbers: which of the descriptors 1 and 2 are replaced.
    """

    def __init__(self, crew, numbers):
        self._crew = crew
        self._numbers = numbers
        self._listeners = []
        self._ears: dict[int, dict[int, _Ear]] = {}
        self._asked: set[int] = set()
        self._job = 0
        self._turn = threading.Lock()
        self._pid = os.getpid()

    def begin(self, above):
        """From now on have what tasks write that begin go to `above`, which is called with lists of lines."""
        with self._turn:
            self._listeners.append(above)
            if len(self._listeners) == 1:
                self._job = self._crew.core.next_job()
                self._asked.clear()
                self._ask()

    def _ask(self):
        for index in [index for index in list(self._crew.members) if index not in self._asked]:
            if index not in self._ears:
                try:
                    self._ears[index] = {number: _Ear() for number in self._numbers}
                except OSError:  # no descriptor is left: it writes where it wrote before
                    continue
            self._asked.add(index)
            out, err = (ear.descriptor if ear else 0 for ear in map(self._ears[index].get, (1, 2)))
            self._crew.core.ask_to_speak(index, self._job, self._pid, out, err)

    def states(self):
        """Return what workers write over again and again, by their places."""
        found = {}
        for index, ears in list(self._ears.items()):
            state = next((ear.state for ear in ears.values() if ear.state), "")
            member = self._crew.members.get(index)
            if state and member is not None:
                found[member.place] = state
        return found

    def hear(self):
        """Write what has come above the bar, unless another thread does so just now; ask workers that are new."""
        if self._pid != os.getpid() or not self._turn.acquire(blocking=False):
            return
        try:
            if self._listeners:
                self._ask()
            self._give_out(self._gone())
        finally:
            self._turn.release()

    def _gone(self):
        """Take out the ears of workers that have ended, and return their last lines."""
        last = []
        for index in [index for index in self._ears if index not in self._crew.members]:
            for ear in self._ears.pop(index).values():
                last += ear.hear() + ear.last()
                os.close(ear.descriptor)
        return last

    def _give_out(self, lines):
        lines = lines + [line for ears in list(self._ears.values()) for ear in ears.values() for line in ear.hear()]
        if lines and self._listeners:
            self._listeners[0](lines)
        elif lines and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):  # nobody reads any more: the pool goes on
                sys.stderr.write("".join(f"{line}\n" for line in lines))

    def end(self, above):
        """A bar ends: write out what is left; with the last one workers write where they wrote before."""
        if self._pid != os.getpid() or above not in self._listeners or not self._turn.acquire(timeout=_TURN_S):
            return
        try:
            if len(self._listeners) == 1:
                self._unask()
                until = monotonic() + LIMIT_S
                while any(map(self._is_speaking, self._ears)) and monotonic() < until:
                    self._give_out([])
                    sleep(_PAUSE_S)
                self._give_out([])
                speaking = {index for index in self._ears if self._is_speaking(index)}
                ears = [ear for index, ears in self._ears.items() if index not in speaking for ear in ears.values()]
                self._give_out([line for ear in ears for line in ear.last()])
            self._listeners.remove(above)
        finally:
            self._turn.release()

    def _unask(self):
        try:
            for index in self._ears:
                self._crew.core.ask_to_speak(index, 0, self._pid, 0, 0)
        except ValueError:  # the pool has ended
            pass

    def _is_speaking(self, index):
        try:
            return index in self._crew.members and self._crew.core.is_speaking(index)
        except ValueError:
            return False

    def close(self):
        """The workers have ended: write out what is left."""
        self.hear()
