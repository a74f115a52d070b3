"""Deaths of workers that were of no use: how long to pause before the next is started, and when to give up."""

import time

__all__ = ["Restarts"]

# After so many workers in a row that died before they were ready, or could not be started, no more are started; if a
# signal ended the last, only when none has become ready for so long: who kills at random may hit many that start.
STARTING_DEATHS = 8
STARTING_DEATHS_S = 5.0
# How many workers in a row may die that were ready and had no task.
IDLE_DEATHS = 40
# Deaths in a row, beyond one for each worker, are followed by pauses that double, from the first to the last.
FIRST_PAUSE_S = 0.01
LAST_PAUSE_S = 1.0


class Restarts:
    """Counts workers that die, or cannot be started, without any use in between; says how long to pause then.

    A worker that dies with a task is no such death: its task has an outcome, so it can go on like that.
    """

    def __init__(self, count):
        self.starting = 0
        self._idle = 0
        self._since = 0.0
        self._tasks = 0
        self._free = count

    @property
    def count(self):
        """How many there were in a row."""
        return self.starting + self._idle

    def died(self, starting, idle, exitcode, tasks):
        """Count a death; `tasks` is how many tasks have an outcome. Return the pause, and whether to give up."""
        if not (starting or idle) or tasks != self._tasks:
            self._tasks = tasks
            self._idle = 0
            if not starting:
                self.starting = 0
        if not (starting or idle):
            return 0.0, False
        if self.count == 0:
            self._since = time.monotonic()
        self.starting += starting
        self._idle += not starting
        from_outside = exitcode is None or exitcode < 0
        long = time.monotonic() - self._since >= STARTING_DEATHS_S
        hopeless = (self.starting >= STARTING_DEATHS and (long or not from_outside)) or (
            self._idle >= IDLE_DEATHS and long
        )
        return self._pause(), hopeless

    def failed(self):
        """Count a worker that could not be started; return the pause, and whether to give up."""
        self.starting += 1
        return max(FIRST_PAUSE_S, self._pause()), self.starting >= STARTING_DEATHS

    def _pause(self):
        beyond = self.count - self._free
        return 0.0 if beyond <= 0 else min(LAST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(beyond - 1, 20))
