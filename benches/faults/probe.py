"""The program that runs one probe: `python -m benches.faults.probe NUMBER LIBRARY START_METHOD`.

The runner starts it in a folder of its own, where it leaves its verdict.
"""

import json
import os
import signal
import sys
import traceback
from contextlib import contextmanager, nullcontext

from benches.faults import abandoned_probes, end_probes, libraries, object_probes, pool_probes, state_probes, tasks
from benches.faults.footprint import footprint, growth
from benches.faults.limits import limit
from benches.faults.verdict import Fault

# Those whose process itself is compared before and after; the others end it, or are judged from outside.
LEAVE_NOTHING = {*range(1, 9), 13, 14, 15, 17, 18, *range(20, 25)}
ROOMS = (pool_probes, end_probes, object_probes, state_probes, abandoned_probes)
PROBES = {number: probe for room in ROOMS for number, probe in room.PROBES.items()}
PROBES = dict(sorted(PROBES.items()))


class Probe:
    """What a probe is given.

    Attributes:
        library: the adapter of the library.
        name, start_method: which one it is.
    """

    def __init__(self, name, start_method):
        self.name, self.start_method = name, start_method
        self.library = libraries.load(name, start_method)

    def say(self, stage):
        """Tells the runner what is being done, in case it never ends."""
        tasks.note("stage", stage)

    @contextmanager
    def pool(self):
        """A pool of two workers, ended in good order unless a fault was found."""
        self.say("starting the pool")
        pool = self.library.pool(2)
        self.say("waiting for tasks")
        yield pool
        self.say("closing the pool")
        pool.close()

    @contextmanager
    def leaving_nothing(self):
        """Compares what the process has after the block with what it had before.

        A pool and a lock used before the block have started what a library starts once (a forkserver, a tracker, the
        memory that locks lie in).

        Raises:
            Fault: when there is more.
        """
        with self.pool() as pool:
            pool.map(tasks.own_pid, range(4), limit(10))
        if self.library.context is not None:
            self.library.context.Lock()
        before = footprint()
        yield
        self.say("looking for leftovers")
        if left := growth(before):
            raise Fault(f"leaves {left}")


def main():
    """Runs the probe that the command line names."""
    number, name, start_method = int(sys.argv[1]), *sys.argv[2:]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        probe = Probe(name, start_method)
        with probe.leaving_nothing() if number in LEAVE_NOTHING else nullcontext():
            what = PROBES[number](probe)
        verdict = {"ok": True, "what": what or "ok", "detail": ""}
    except libraries.NotOffered:
        verdict = {"ok": None, "what": "-", "detail": "not offered"}
    except Fault as fault:
        verdict = {"ok": False, "what": fault.what, "detail": fault.detail}
    except Exception as error:
        verdict = {"ok": False, "what": f"raises {type(error).__name__}", "detail": traceback.format_exc()}
    tasks.note("verdict", json.dumps(verdict))
    if not verdict["ok"]:
        os._exit(0)  # how a broken pool ends at exit is not the question


if __name__ == "__main__":
    main()
