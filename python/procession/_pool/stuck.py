"""Looks after the first tasks of workers that were forked beside other threads: they may wait for ever.

A lock that a thread of the parent held stays locked in the worker, and nothing tells that but a task that does not end
while its worker computes nothing. A task that waits for something of its own looks the same, so it is only said.
"""

import threading
from _weakref import ref

from procession import _notices
from procession._pool import stacks

__all__ = ["StuckWatch"]

LIMIT_S = 15.0  # that a worker computes nothing
LOOKS = 5  # in that time
STACKS_S = 1.0  # that workers have to say where they are


class StuckWatch:
    """A thread that looks at the workers of a pool until a task has ended, or it has told of one that does not.

    Args:
        crew: the pool's.
        beside: the names of the threads that ran when its workers were forked.
        place: the file and the line where the pool was made.
    """

    def __init__(self, crew, beside, place):
        self._crew = ref(crew)
        self._beside = beside
        self._place = place
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="PoolWatch", daemon=True)
        self._thread.start()

    def end(self):
        """Look no more; waits for a look that goes on."""
        self._end.set()
        if self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _look(self):
        since: dict = {}  # by worker: its CPU time, and how many looks have found it the same
        while not self._end.wait(LIMIT_S / LOOKS):
            crew = self._crew()
            if crew is None or crew.unusable:
                return
            try:
                workers, waiting, (done, failed, *_) = crew.core.survey()
            except ValueError:  # the pool has ended
                return
            if done or failed:
                return
            for seat, pid, state, _, _, _, task, _ in workers:
                now = _cpu_time(pid)
                before, looks = since.get(seat, (None, 0))
                busy = task is not None or (state == "starting" and waiting)
                since[seat] = now, looks + 1 if busy and now is not None and now == before else 0
                if since[seat][1] >= LOOKS:
                    self._tell(crew)
                    return
            del crew

    def _tell(self, crew):
        text = (
            f"no task of a pool has ended, and a worker has computed nothing for {LIMIT_S:g} s. It was forked while "
            f"other threads ran ({', '.join(self._beside)}), and may wait for a lock that one of them held: the start "
            f"methods forkserver and spawn are safe. Its stacks:\n{stacks.dump(crew, STACKS_S)}"
        )
        _notices.tell_once(_notices.StuckAfterFork, text, *self._place)


def _cpu_time(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])
