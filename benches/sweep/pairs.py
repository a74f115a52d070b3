"""Runs the cells, each by turns with the standard library and with procession, in two processes that stay."""

import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benches.runner import spread
from benches.sweep.player import MARK

ROOT = Path(__file__).parent.parent.parent
LIBRARIES = ("multiprocessing", "procession")
LEAST_S = 0.012
LIMIT_S = 60


class Failed(Exception):
    """A cell could not be run with a library."""


@dataclass
class Outcome:
    """What became of a cell.

    Attributes:
        cell: the cell.
        count: of how many values.
        pairs: what each library used in each run, as (of multiprocessing, of procession).
        wrong: the libraries whose results were not right, or that failed, with the reason.
    """

    cell: object
    count: int = 0
    pairs: list = field(default_factory=list)
    wrong: dict = field(default_factory=dict)

    def times(self, what="seconds"):
        """How many times better procession was: the median of the pairs, and the bounds of their middle half."""
        return spread([max(std[what], 1e-9) / max(ours[what], 1e-9) for std, ours in self.pairs])

    def middle(self, library, what):
        """The median of what a library used."""
        return median(pair[LIBRARIES.index(library)][what] for pair in self.pairs)


class Player:
    """A process that runs cells with one library; one that fails to answer is replaced.

    Args:
        library: "multiprocessing" or "procession".
    """

    def __init__(self, library):
        self._library = library
        self._process = None

    def ask(self, what, cell, number):
        """Return the answer to a request.

        Raises:
            Failed: the cell failed, or there was no answer in time.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benches.sweep.player", self._library],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,
                bufsize=0,
            )
            self._rest = b""
        self._process.stdin.write(f"{what} {cell.name} {number}\n".encode())
        answer = json.loads(self._line())
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _line(self):
        while True:
            line, found, rest = self._rest.partition(b"\n")
            if found:
                self._rest = rest
                if line.startswith(MARK.encode()):
                    return line[len(MARK) :]
                continue
            if not select.select([self._process.stdout], [], [], LIMIT_S)[0]:
                self.kill()
                raise Failed(f"no answer after {LIMIT_S} s")
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                self.kill()
                raise Failed("its process ended")
            self._rest += piece

    def end(self):
        """Let the process end by itself, within a limit."""
        if self._process is not None:
            self._process.stdin.close()
            try:
                self._process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        """End the process with all that it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._process = None


class Sweep:
    """Two players, and what became of the cells.

    Args:
        pairs: how many pairs are taken of each cell; 0 checks results only, of procession alone.
    """

    def __init__(self, pairs):
        self._pairs = pairs
        self._players = {name: Player(name) for name in (LIBRARIES if pairs else LIBRARIES[1:])}

    def cell(self, cell):
        """Run one cell."""
        outcome = Outcome(cell)
        try:
            first = next(iter(self._players))
            outcome.count = cell.checked
            if self._pairs:
                outcome.count = self._players[first].ask("calibrate", cell, LEAST_S)["count"]
        except Failed as error:
            outcome.wrong[first] = str(error)
            return outcome
        for name, player in self._players.items():
            try:
                if not player.ask("check", cell, outcome.count)["right"]:
                    outcome.wrong[name] = "wrong results"
            except Failed as error:
                outcome.wrong[name] = str(error)
        if not outcome.wrong:
            for turn in range(self._pairs):
                self._pair(outcome, turn)
        return outcome

    def _pair(self, outcome, turn):
        taken = {}
        for name in LIBRARIES if turn % 2 == 0 else LIBRARIES[::-1]:
            try:
                taken[name] = self._players[name].ask("run", outcome.cell, outcome.count)
            except Failed as error:
                outcome.wrong[name] = str(error)
                return
        outcome.pairs.append(tuple(taken[name] for name in LIBRARIES))

    def end(self):
        """End the players."""
        for player in self._players.values():
            player.end()
