"""What a worker of a pool runs."""

import os
import signal

from procession import portable
from procession._procession import WorkerCore

__all__ = ["INTERRUPT", "Seat", "work"]

# Tells a worker to look whether the task that it runs is to be given up.
INTERRUPT = signal.SIGRTMIN + 7


class Seat:
    """A worker's place in its pool: an index and three descriptors, which travel to the worker when it is started."""

    def __init__(self, index, *descriptors):
        self.index = index
        self.descriptors = descriptors

    def __getstate__(self):
        from procession import context, reduction

        context.assert_spawning(self)
        return self.index, [reduction.DupFd(fd) for fd in self.descriptors]

    def __setstate__(self, state):
        self.index, copies = state
        self.descriptors = tuple(copy.detach() for copy in copies)

    def take(self):
        """Return the engine's end of the seat, which owns the descriptors from now on."""
        return WorkerCore(self.index, *self.descriptors, portable)

    def close(self):
        """Close the descriptors: the parent's copies, once the worker has its own."""
        for fd in self.descriptors:
            os.close(fd)


def work(seat, terms):
    """Run tasks until the pool is closed or as many are done as `terms` allow.

    Ctrl-C reaches every process of the terminal: the parent decides what it means, so a worker goes on. A handler, not
    SIG_IGN: programs that a task starts do not inherit it.
    """
    signal.signal(signal.SIGINT, _go_on)
    core = seat.take()
    _watch_interrupts(core.interrupts())
    if terms.initializer is not None:
        try:
            terms.initializer(*terms.initargs)
        except BaseException as error:
            core.init_failed(portable.failure(error))
            return
    core.run(terms.max_tasks or 0, terms.max_memory)


def _watch_interrupts(interrupts):
    def give_up(signum, frame):
        # The signal may come late: the task that it was meant for may have ended.
        if interrupts.pending():
            raise portable.TaskTimeout("the task was interrupted")

    signal.signal(INTERRUPT, give_up)


def _go_on(signum, frame):
    pass
