"""procession: the same interface as the standard library's."""

import procession

from benches.faults.libraries import NotOffered
from benches.faults.libraries.standard import StandardLibrary, StandardPool

START_METHODS = ("forkserver", "fork", "spawn")


class Pool(StandardPool):
    """A pool of procession."""

    def submit_with_timeout(self, seconds, function, *args):
        """Submits one task that may run for `seconds`."""
        try:
            return self._pool.apply_async(function, args, timeout=seconds)
        except TypeError:
            raise NotOffered


class Library(StandardLibrary):
    """procession with one start method."""

    Pool = Pool

    def __init__(self, start_method):
        super().__init__(procession, start_method)
