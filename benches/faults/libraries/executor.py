"""What the adapters of `concurrent.futures`-like executors share."""

from concurrent.futures import wait

from benches.faults.libraries import NotOffered


class Answer:
    """A future, waited for as an `AsyncResult`."""

    def __init__(self, future):
        self._future = future

    def get(self, timeout):
        """Waits for the task's result."""
        wait([self._future], timeout)
        return self._future.result(0)


class ExecutorPool:
    """An executor with `submit`, `map` and `shutdown`."""

    def __init__(self, executor):
        self._executor = executor

    def submit(self, function, *args):
        """Submits one task; the answer has `get(timeout)`."""
        return Answer(self._executor.submit(function, *args))

    def submit_with_timeout(self, seconds, function, *args):
        """Executors have no limit for a task."""
        raise NotOffered

    def map(self, function, items, timeout):
        """Maps with a limit."""
        return list(self._executor.map(function, items, timeout=timeout))

    def map_forever(self, function, items):
        """Maps with no limit, as a user's program does."""
        return list(self._executor.map(function, items))

    def imap_unordered(self, function, items):
        """Executors submit everything at once."""
        raise NotOffered

    def close(self):
        """Ends the pool in good order."""
        self._executor.shutdown()

    def terminate(self):
        """Ends the pool as soon as an executor can."""
        self._executor.shutdown(cancel_futures=True)

    def __enter__(self):
        self._executor.__enter__()
        return self

    def __exit__(self, *details):
        self._executor.__exit__(*details)
