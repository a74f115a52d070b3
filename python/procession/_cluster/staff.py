"""The agents of a pool: on which nodes, with how many workers, started again where they are lost."""

import itertools
import threading
from time import monotonic

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

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
        self._tell: Any = None
        self._coming: dict = {}  # by the key of the node: how many workers
        # The agents that have started and are not dismissed, by the ids of their handles, and their workers' numbers.
        self._handles: dict = {}
        self._is_over = False
        self._there = 0  # how many workers there are, or come
        self._taken: set = set()  # the numbers of workers
        self._deals = False  # whether workers are to be shared out anew
        self._next_try = 0.0
        self._looks = False  # whether a thread looks for nodes just now
        self._lock = threading.Lock()
        self._leaving: list = []  # pairs: the key of a node, if it is known, and the thread that ends an agent there

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
            seats = self._take(workers)
            self._there += workers
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
                    self._there -= workers
                    self._taken.difference_update(seats)
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
        with self._lock:
            self._there -= node.workers
            self._next_try = monotonic() + RETRY_S
        self.dismiss(node.handle, node.key)

    def _take(self, workers):
        """Return the lowest numbers that no worker has."""
        free = (number for number in itertools.count() if number not in self._taken)
        seats = list(itertools.islice(free, workers))
        self._taken.update(seats)
        return seats

    def resize(self, count):
        """Have so many workers; `fill` says how many of them each node is to have."""
        self._count = count
        self._deals = True
        self._next_try = 0.0

    def change(self, node, workers):
        """A node is to have so many workers from now on; return their numbers, and those of more that it once had."""
        with self._lock:
            handle, seats = self._handles[id(node.handle)]
            self._there += workers - node.workers
            seats = [*seats, *self._take(workers - len(seats))] if workers > len(seats) else seats
            self._handles[id(handle)] = handle, seats
            return seats

    def terms_of(self, seats):
        """Return the terms of workers of these numbers."""
        return self._terms_for(seats)

    def fill(self, nodes):
        """Start agents for missing workers on nodes that have none; after `resize` tell how many workers each other
        node is to have, by `("share", key, workers)`."""
        if self._looks or monotonic() < self._next_try or not (self._deals or self._there < self._count):
            return
        self._looks, deals, self._deals = True, self._deals, False
        threading.Thread(target=self._look_for, args=(set(nodes), deals), name="ClusterLook", daemon=True).start()

    def _look_for(self, taken, deals):
        """Ask which nodes there are, which may take long while the cluster is on its way out, and start agents."""
        try:
            # What an agent had, such as units of `resources`, is free when it has ended.
            leaving = {key for key, thread in list(self._leaving) if thread.is_alive()}
            places, coming = self._engine.places(), {*self._coming, *leaving}
            if deals:
                self._deal(places, taken, coming)
                return
            places = [place for place in places if place.key not in taken | coming]
            if places and not self._is_over:
                for place, workers in shares(places, self._count - self._there):
                    self._hire(place, workers, self._tell)
        except Exception:
            self._deals |= deals  # and tried again
        finally:
            self._next_try = monotonic() + RETRY_S
            self._looks = False

    def _deal(self, places, taken, coming):
        """Share the workers out over all nodes."""
        self._deals |= bool(coming)  # which have the shares of before
        for place, workers in [*shares(places, self._count), *((place, 0) for place in places)]:
            if place.key in taken:
                taken.remove(place.key)
                self._tell(("share", place.key, workers))
            elif workers and place.key not in coming and not self._is_over:
                self._hire(place, workers, self._tell)
            coming.add(place.key)

    def dismiss(self, handle, key=None):
        """End an agent, without waiting for it."""
        with self._lock:
            _, seats = self._handles.pop(id(handle), (None, ()))
            self._taken.difference_update(seats)
        thread = threading.Thread(target=self._engine.drop, args=(handle,), name="ClusterEnd", daemon=True)
        thread.start()
        self._leaving = [*(other for other in self._leaving if other[1].is_alive()), (key, thread)]

    def end(self, limit):
        """End all agents, those that start just now as well; wait for that, at most `limit` seconds."""
        with self._lock:
            self._is_over = True
            handles = [handle for handle, _ in self._handles.values()]
        for handle in handles:
            self.dismiss(handle)
        until = monotonic() + limit
        for _, thread in self._leaving:
            thread.join(max(0.0, until - monotonic()))
