"""pebble, whose tasks have time limits."""

import multiprocessing

from pebble import ProcessPool

from benches.faults.libraries import NotOffered
from benches.faults.libraries.executor import Answer

START_METHODS = ("fork", "spawn", "forkserver")


class Pool:
    """A pool of pebble."""

    def __init__(self, pool):
        self._pool = pool

    def submit(self, function, *args):
        """Submits one task; the answer has `get(timeout)`."""
        return Answer(self._pool.schedule(function, args=args))

    def submit_with_timeout(self, seconds, function, *args):
        """Submits one task that may run for `seconds`."""
        return Answer(self._pool.schedule(function, args=args, timeout=seconds))

    def map(self, function, items, timeout):
        """Maps with a limit."""
        future = self._pool.map(function, items)
        return list(Answer(future).get(timeout))

    def map_forever(self, function, items):
        """Maps with no limit, as a user's program does."""
        return list(self._pool.map(function, items).result())

    def imap_unordered(self, function, items):
        """pebble has no such map."""
        raise NotOffered

    def close(self):
        """Ends the pool in good order."""
        self._pool.close()
        self._pool.join()

    def terminate(self):
        """Ends the pool at once."""
        self._pool.stop()
        self._pool.join()

    def __enter__(self):
        self._pool.__enter__()
        return self

    def __exit__(self, *details):
        self._pool.__exit__(*details)


class Library:
    """pebble with one start method."""

    context = None

    def __init__(self, start_method):
        self._context = multiprocessing.get_context(start_method)

    def pool(self, workers=2, initializer=None):
        """Makes a pool."""
        return Pool(ProcessPool(workers, initializer=initializer, context=self._context))

    def short_lived(self, workers, tasks):
        """Makes a pool whose workers are replaced after so many tasks."""
        return Pool(ProcessPool(workers, max_tasks=tasks, context=self._context))
