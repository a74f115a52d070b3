"""A process that runs cells with one library as it is told to, and says how long each took.

python -m benches.sweep.player LIBRARY

Each line of standard input is a request, each line of the answer begins with a mark, as tasks may print, too:
`calibrate METHOD/DIRECTION/SUBJECT/START_METHOD LEAST_S`, `run CELL COUNT` or `check CELL COUNT`.
"""

import json
import sys
import time

from benches.sweep import usage
from benches.sweep.alike import digest
from benches.sweep.cells import Cell
from benches.sweep.stage import Stage

MARK = "sweep: "
# Values whose order is not that of the items are compared as a set.
ANY_ORDER = {"imap_unordered", "imap_unordered_16"}


class Player:
    """Runs cells with one library.

    Args:
        library: "multiprocessing" or "procession".
    """

    def __init__(self, library):
        self._library = library
        self._stages = {}
        self._ready = None

    def stage(self, start_method):
        """What is open under a start method."""
        if start_method not in self._stages:
            self._stages[start_method] = Stage(self._library, start_method)
        return self._stages[start_method]

    def prepared(self, cell, count):
        """The call that does the work of a cell; made once while the same is asked for."""
        if self._ready is None or self._ready[:2] != (cell, count):
            self._ready = cell, count, cell.prepare(self.stage(cell.start_method), count)
        return self._ready[2]

    def calibrate(self, cell, least_s):
        """Return for how many values the cell takes at least so many seconds, within its bounds."""
        count = min(cell.most, 8)
        while True:
            call = self.prepared(cell, count)
            call()
            started = time.perf_counter()
            call()
            took = time.perf_counter() - started
            if took >= least_s or count >= cell.most:
                return {"count": count}
            count = min(cell.most, count * max(2, min(10, int(least_s / max(took, 1e-6)))))

    def run(self, cell, count):
        """Return what one run of a cell took: seconds, seconds of all CPUs, MiB more than before at the peak."""
        call = self.prepared(cell, count)
        with usage.watched() as used:
            result = call()
        del result
        return used

    def check(self, cell, count):
        """Return whether the results are right."""
        found, expected = self.prepared(cell, count)(), cell.expected(count)
        if cell.direction == "items" and cell.method not in ("manager_list",):
            return {"right": list(found) == [None] * count}
        if cell.method in ANY_ORDER:
            return {"right": sorted(map(digest, found)) == sorted(map(digest, expected))}
        return {"right": [digest(value) for value in found] == [digest(value) for value in expected]}

    def end(self):
        """End what is open."""
        for stage in self._stages.values():
            stage.end()


def main():
    """Answer the lines of standard input."""
    player = Player(sys.argv[1])
    for line in sys.stdin:
        what, name, number = line.split()
        cell = Cell(*name.split("/"))
        try:
            answer = getattr(player, what)(cell, float(number) if what == "calibrate" else int(number))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(MARK + json.dumps(answer), flush=True)
    player.end()


if __name__ == "__main__":
    main()
