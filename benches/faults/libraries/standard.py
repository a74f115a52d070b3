"""What the adapters of libraries with multiprocessing's own interface share."""


class StandardPool:
    """A pool with `apply_async`, `map_async`, `close`, `terminate` and `join`."""

    def __init__(self, pool):
        self._pool = pool

    def submit(self, function, *args):
        """Submits one task; the answer has `get(timeout)`."""
        return self._pool.apply_async(function, args)

    def submit_with_timeout(self, seconds, function, *args):
        """Submits one task that may run for `seconds`."""
        from benches.faults.libraries import NotOffered

        raise NotOffered

    def map(self, function, items, timeout):
        """Maps with a limit."""
        return self._pool.map_async(function, items, chunksize=1).get(timeout)

    def map_forever(self, function, items):
        """Maps with no limit, as a user's program does."""
        return self._pool.map(function, items)

    def imap_unordered(self, function, items):
        """The lazy map."""
        return self._pool.imap_unordered(function, items)

    def close(self):
        """Ends the pool in good order."""
        self._pool.close()
        self._pool.join()

    def terminate(self):
        """Ends the pool at once."""
        self._pool.terminate()
        self._pool.join()

    def __enter__(self):
        self._pool.__enter__()
        return self

    def __exit__(self, *details):
        self._pool.__exit__(*details)


class StandardLibrary:
    """A module with `get_context`."""

    START_METHODS = ("fork", "spawn", "forkserver")
    Pool = StandardPool

    def __init__(self, module, start_method):
        self.module = module
        self.context = module.get_context(start_method)

    def pool(self, workers=2, initializer=None):
        """Makes a pool."""
        return self.Pool(self.context.Pool(workers, initializer))

    def short_lived(self, workers, tasks):
        """Makes a pool whose workers are replaced after so many tasks."""
        return self.Pool(self.context.Pool(workers, maxtasksperchild=tasks))
