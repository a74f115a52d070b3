"""What a program does beside a pool under fire: other pools, forked strangers, lazy maps that nobody reads on."""

import atexit
import os
import random
import select
import threading

import procession

LIMIT_S = 60.0
STRANGER = 7


def double(number):
    """Return what the checks of other pools expect."""
    return 2 * number


class OtherPools:
    """A thread that makes pools, hands in work from two sides and terminates them meanwhile.

    Args:
        context: whose pools they are.
        seed: of the random choices.

    Attributes:
        made: how many there were.
        ended: how many jobs were told that their pool had ended.
        failure: what went wrong, or None.
    """

    def __init__(self, context, seed):
        self.made = self.ended = 0
        self.failure = None
        self._context, self._rng = context, random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="other pools")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def check(self):
        """Raise what went wrong."""
        if self.failure is not None:
            raise self.failure

    def _run(self):
        try:
            while not self._stop.is_set():
                self._one_pool()
        except BaseException as error:
            self.failure = error

    def _one_pool(self):
        pool = self._context.Pool(self._rng.choice([1, 2]))
        self.made += 1
        helper = threading.Thread(target=self._use, args=(pool, 3), name="user of another pool")
        helper.start()
        self._use(pool, self._rng.choice([1, 5, 20]))
        pool.terminate()
        helper.join(LIMIT_S)
        if helper.is_alive():
            raise AssertionError("a map of a terminated pool waits")
        pool.join()

    def _use(self, pool, rounds):
        try:
            for start in range(rounds):
                answers = pool.map_async(double, range(start, start + 20)).get(LIMIT_S)
                assert answers == [2 * number for number in range(start, start + 20)], "a wrong result"
        except (procession.PoolTerminated, ValueError):
            self.ended += 1
        except BaseException as error:
            self.failure = error


def forked_stranger(pool):
    """Fork a process that procession does not know, let it end as programs do, and see that it ended by itself."""
    pid = os.fork()
    if pid == 0:
        try:
            pool.terminate()
            atexit._run_exitfuncs()
        finally:
            os._exit(STRANGER)
    descriptor = os.pidfd_open(pid)
    try:
        ready = select.poll()
        ready.register(descriptor, select.POLLIN)
        if not ready.poll(LIMIT_S * 1000):
            raise AssertionError("a forked process does not end")
    finally:
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == STRANGER, "a forked process ended with another exit code"


def abandoned_lazy_map(pool, work):
    """Read a little of a lazy map of an endless iterable, drop it, and see that no more is taken from the iterable."""
    ended = threading.Event()

    def endless():
        try:
            number = 0
            while True:
                yield (number, 0)
                number += 1
        finally:
            ended.set()

    results = pool.imap_unordered(work, endless(), 5)
    try:
        next(results)
    except procession.WorkerDied:
        pass
    del results
    if not ended.wait(LIMIT_S):
        raise AssertionError("a lazy map that nobody reads goes on")
