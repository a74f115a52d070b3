"""The agents of a pool: on which nodes, with how many workers, started again where they are lost."""

import threading
from time import monotonic

__all__ = ["Staff", "shares"]

START_S = 60.0  # how long all agents together may take to start
RETRY_S = 1.0  # how long after an agent could not be started another one is tried


def shares(places, count):
    """Return how many of `count` workers each place gets, by its CPUs, those without any left out.

    Returns:
        Pairs of place and number.
    """
    given = dict.fromkeys(range(len(places)), 0)
    for _ in range(count):
        # The one that would be least burdened.
        best = min(given, key=lambda number: (given[number] + 1) / max(1, places[number].cpus))
        given[best] += 1
    return [(places[number], workers) for number, workers in given.items() if workers]


class Staff:
    """Starts agents, in threads, and ends them.

    Args:
        engine: the `engine.Engine`.
        count: how many workers the pool has.
        terms_for: returns the terms of an agent, for the list of which of the pool its workers are, from 0.
    """

    def __init__(self, engine, count, terms_for):
        self._engine = engine
        self._count = count
        self._terms_for = terms_for
        self._tell = None
        self._coming: dict = {}  # by the key of the node: how many workers
        # The agents that have started and are not dismissed, by the ids of their handles, and their workers' places.
        self._handles: dict = {}
        self._is_over = False
        self._free = list(range(count))  # places without a worker
        self._next_try = 0.0
        self._looks = False  # whether a thread looks for nodes just now
        self._lock = threading.Lock()
        self._leaving: list = []

    def begin(self, tell):
        """Start the first agents, and wait for them; end those that have started when something goes wrong.

        Args:
            tell: is called with `("hired", place, workers, handle, error)` of each.

        Raises:
            OSError: there is no node.
            Exception: an agent could not be started.
        """
        self._tell = tell
        places = self._engine.places()
        if not places:
            raise OSError(f"the cluster has no node that takes work ({self._engine.name}): start one first")
        started: list = []
        threads = [self._hire(place, workers, started.append) for place, workers in shares(places, self._count)]
        until = monotonic() + START_S
        try:
            for thread in threads:
                thread.join(max(0.0, until - monotonic()))
            for *_, error in started:
                if error is not None:
                    raise error
            if len(started) < len(threads):
                raise TimeoutError(f"{len(threads) - len(started)} nodes did not start a pool in {START_S:g} seconds")
        except BaseException:
            self.end(RETRY_S)
            raise
        for event in started:
            tell(event)

    def _hire(self, place, workers, tell):
        with self._lock:
            seats, self._free = self._free[:workers], self._free[workers:]
            self._coming[place.key] = workers

        def start():
            handle = error = None
            try:
                handle = self._engine.start(place, self._terms_for(seats))
            except BaseException as raised:
                error = raised
            with self._lock:
                self._coming.pop(place.key, None)
                is_late = self._is_over
                if error is not None:
                    self._release(seats)
                elif not is_late:
                    self._handles[id(handle)] = handle, seats
            if not is_late:
                tell(("hired", place, workers, handle, error))
            elif error is None:
                self._engine.drop(handle)

        thread = threading.Thread(target=start, name="ClusterStart", daemon=True)
        thread.start()
        return thread

    def lost(self, node):
        """A node is lost: its workers are missing."""
        self._next_try = monotonic() + RETRY_S
        self.dismiss(node.handle)

    def _release(self, seats):
        self._free = sorted([*self._free, *seats])

    def fill(self, nodes):
        """Start agents for missing workers on nodes that have none."""
        if self._looks or not self._free or monotonic() < self._next_try:
            return
        self._looks = True
        threading.Thread(target=self._look_for, args=(set(nodes),), name="ClusterLook", daemon=True).start()

    def _look_for(self, taken):
        """Ask which nodes there are, which may take long while the cluster is on its way out, and start agents."""
        try:
            places = [place for place in self._engine.places() if place.key not in taken | set(self._coming)]
            if places and not self._is_over:
                for place, workers in shares(places, len(self._free)):
                    self._hire(place, workers, self._tell)
        except Exception:
            pass  # and tried again
        finally:
            self._next_try = monotonic() + RETRY_S
            self._looks = False

    def dismiss(self, handle):
        """End an agent, without waiting for it."""
        with self._lock:
            _, seats = self._handles.pop(id(handle), (None, ()))
            self._release(seats)
        thread = threading.Thread(target=self._engine.drop, args=(handle,), name="ClusterEnd", daemon=True)
        thread.start()
        self._leaving = [*(other for other in self._leaving if other.is_alive()), thread]

    def end(self, limit):
        """End all agents, those that start just now as well; wait for that, at most `limit` seconds."""
        with self._lock:
            self._is_over = True
            handles = [handle for handle, _ in self._handles.values()]
        for handle in handles:
            self.dismiss(handle)
        until = monotonic() + limit
        for thread in self._leaving:
            thread.join(max(0.0, until - monotonic()))
