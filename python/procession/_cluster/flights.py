"""What is on its way to the nodes, and how much goes at once: neither thread nor engine is asked here."""

from collections import deque
from itertools import chain
from time import monotonic

from procession._cluster.packing import seal_item, size_of

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any


__all__ = ["MOST_BYTES", "Calls", "Lazy", "Node", "Pace", "Parcel", "Work"]

# A parcel is to keep a node busy for about so long: much longer than a message takes.
PARCEL_S = 0.1
# Items that take longer do not wait at a node while another one may have room.
SLOW_S = 0.5
# A parcel that takes less is not worth its message, though others have nothing to do for so long at the end of a map.
LEAST_S = 0.02
# A parcel may have so many times as many items as the one before, and the first one so many for each worker, if that is
# no more than this part of what there is for a node. Where an earlier map tells how long items take it may have the
# other part: these may take longer.
GROWTH = 16
FIRST_PART, GUESSED_PART = 32, 8
# How long outcomes may wait at a node for others that are told with them: those of a map, and those that somebody
# reads one after the other.
HOLD_S, HOLD_READ_S = 0.1, 0.02
MOST_ITEMS = 1 << 15
MOST_BYTES = 64 << 20  # of a parcel; a node has two
# A parcel that was on so many lost nodes travels on item by item, and an item that was on one more is given up.
LOSSES_CUT, LOSSES_GIVEN_UP = 2, 3


class Node:
    """A node with an agent.

    Args:
        key: what the engine knows it by.
        workers: how many its pool has.
        handle: the engine's of its agent.

    Attributes:
        orders: what it is to be told with the next message, and `later` is what may wait until there is one.
        posts: how many messages it was sent, and `posting` of them have not arrived.
        heard: the number of the last news from there; `heard_at` is when it came.
        flights: the parcels there by their numbers.
        told: the names of the jobs whose function it has.
        asked: those of the jobs of which it was asked what runs, and has not told.
        looks: what it has told of that, by the name of the job: when that was, and pairs of a parcel and what the agent
            knows of it.
        leaves: whether it gets no more, and its agent ends when it has done what it has.
    """

    def __init__(self, key, workers, handle, now):
        self.key = key
        self.workers = workers
        self.handle = handle
        self.orders: list = []
        self.later: list = []
        self.posts = 0
        self.posting = 0
        self.heard = 0
        self.heard_at = now
        self.flights: dict = {}
        self.told: set = set()
        self.asked: set = set()
        self.looks: dict = {}
        self.leaves = False
        self.name = f"node {key}"

    def load(self):
        """Return how many items of all jobs are here for a worker."""
        return sum(parcel.left for parcel in self.flights.values()) / self.workers

    def outstanding(self, work):
        """Return how many items of a job have no outcome yet that are here."""
        return sum(parcel.left for parcel in self.flights.values() if parcel.work is work)

    def is_taken(self, work):
        """Return whether other jobs have an item here for each worker."""
        return sum(parcel.left for parcel in self.flights.values() if parcel.work is not work) >= self.workers

    def has_room(self):
        """Return whether its flights leave memory for more."""
        return sum(parcel.nbytes for parcel in self.flights.values()) < 2 * MOST_BYTES


class Parcel:
    """Items that travel together.

    Args:
        work: what they belong to.
        places: their places in it.
        items: what travels of each.
        losses: on how many nodes they were that are lost.
    """

    def __init__(self, work, places, items, losses=0):
        self.work = work
        self.places = places
        self.items = items
        self.losses = losses
        self.nbytes = sum(map(size_of, items if work.kind != "calls" else [call[0] for _, call in items]))
        self.left = len(items)
        self.is_over = bytearray(len(items))
        self.number = 0
        self.posted = 0.0
        self.failed: dict = {}  # what could not be sent, by place

    def take(self, start, count):
        """Note outcomes that have come; return their places."""
        self.is_over[start : start + count] = b"\1" * count
        self.left -= count
        return self.places[start : start + count]

    def rest(self):
        """Return the parcels of what has no outcome, when its node is lost, and the places of what is given up."""
        losses = self.losses + 1
        places = [n for n, over in enumerate(self.is_over) if not over]
        if losses >= LOSSES_GIVEN_UP and len(self.items) == 1:
            return [], [self.places[n] for n in places]
        if losses >= LOSSES_CUT:
            return [Parcel(self.work, [self.places[n]], [self.items[n]], losses) for n in places], []
        return [Parcel(self.work, [self.places[n] for n in places], [self.items[n] for n in places], losses)], []


class Pace:
    """How many items make a parcel.

    Args:
        before: that of an earlier map of the same function, or None.
    """

    def __init__(self, before=None):
        self._each = None  # seconds of a worker for an item
        self._guess = None if before is None else before._each or before._guess
        self._last = 0

    def first(self, workers, left):
        """Return how many items a node with so many workers is to get first, of which there are `left` for it."""
        if self._guess is None:
            return max(workers, min(GROWTH * workers, left // FIRST_PART))
        wanted = int(PARCEL_S * workers / max(self._guess, 1e-9))
        return max(workers, min(wanted, left // GUESSED_PART, MOST_ITEMS))

    def size(self, workers):
        """Return how many items a node with so many workers is to get at once."""
        if self._each is None:
            return workers
        wanted = int(PARCEL_S * workers / max(self._each, 1e-9))
        return max(workers, min(wanted, GROWTH * self._last, MOST_ITEMS))

    def least(self, workers):
        """Return how many items are worth a message to a node with so many workers, 0 where nobody knows."""
        return 0 if self._each is None else int(LEAST_S * workers / max(self._each, 1e-9))

    def is_known(self):
        """Return whether items were measured."""
        return self._each is not None

    def is_slow(self):
        """Return whether nothing is to wait at a node: items take long, or nobody knows how long."""
        return self._each is None or self._each > SLOW_S

    def learn(self, count, seconds, workers):
        """Note that a node with so many workers was busy with some items for a time."""
        self._each = seconds * workers / count
        self._last = max(self._last, count)


class Work:
    """A map whose items are all known: cut into parcels when there is room for them.

    Args:
        name: a number that no other job has.
        job: a `jobs.Whole`.
        chunk: how many items a worker is to take at once, or None.
        priority: how urgent it is.

    Attributes:
        most: how many of its tasks a node can run at once, whatever workers it has; None for any number.
    """

    kind = "parcel"
    hold = HOLD_S
    most: "int | None" = None

    def __init__(self, name, job, chunk, priority=0):
        self.name = name
        self.job = job
        self.chunk = chunk
        self.priority = priority
        self.served_at = monotonic()  # when something of it went out last
        self.function = None  # the pickle
        self.wishes = None
        self.retry_on = None
        self.again: deque = deque()  # parcels of lost nodes
        self.pace = Pace()
        self.finished: dict = {}  # when each node had finished the last parcel
        self._next = 0

    def is_empty(self):
        """Return whether nothing waits here."""
        return not self.again and self._next >= len(self.job.items)

    def urgency(self, now):
        """Return how urgent it is by now: it gains one for each second that nothing of it went out."""
        return self.priority + int(now - self.served_at)

    def next_parcel(self, node, nodes, ahead):
        """Return the next parcel for a node, None where nothing waits or the node has enough of it.

        Args:
            nodes: how many there are.
            ahead: whether it may wait there, as each node has something to do.
        """
        if self.is_empty():
            return None
        workers = node.workers if self.most is None else min(self.most, node.workers)
        size = self.pace.size(workers) if self.pace.is_known() else self._first(workers, nodes)
        busy = node.outstanding(self)
        if busy >= workers and not (ahead and busy <= size and not self.pace.is_slow()):
            return None
        if busy and not ahead:
            size = workers - busy
        return self.again.popleft() if self.again else self._cut(size, node, nodes)

    def _first(self, workers, nodes):
        """Return how many items a node with so many workers is to get at once while nobody knows how long they take."""
        return self.pace.first(workers, (len(self.job.items) - self._next) // nodes)

    def _cut(self, size, node, nodes):
        items = self.job.items
        start = self._next
        even = -(-(len(items) - start) // (2 * nodes))
        size = min(size, max(node.workers, self.pace.least(node.workers), even))
        self._next = min(len(items), start + max(size, self.chunk or 1))
        return self._seal(range(start, self._next), items[start : self._next])

    def _seal(self, places: "Any", items):
        """Return a parcel of items; those that cannot travel have their outcome."""
        sealed, nbytes = [], 0
        failed = {}
        for number, item in enumerate(items):
            try:
                one = seal_item(item)
            except Exception as error:
                failed[places[number]] = error
                continue
            sealed.append(one)
            nbytes += size_of(one)
            if nbytes >= MOST_BYTES and number + 1 < len(items):
                self._give_back(places[number + 1 :], items[number + 1 :])
                places = places[: number + 1]
                break
        if failed:
            places = [place for place in places if place not in failed]
        parcel = Parcel(self, places, sealed)
        parcel.failed = failed
        return parcel

    def _give_back(self, places, items):
        self._next -= len(places)

    def chunk_for(self, parcel, node):
        """Return how many items of a parcel a worker of the node is to take at once."""
        return self.chunk or max(1, len(parcel.items) // (4 * node.workers))


class Ordered(Work):
    """A map whose items go out in an order of its own."""

    def __init__(self, name, job, chunk, priority=0):
        super().__init__(name, job, chunk or 1, priority)
        chunks = (range(first, first + self.chunk) for first in (self.chunk * number for number in job.sequence))
        self._order = [place for place in chain.from_iterable(chunks) if place < len(job.items)]

    def _first(self, workers, nodes):
        return workers

    def _cut(self, size, node, nodes):
        items, start = self.job.items, self._next
        size = max(min(size, max(node.workers, (len(items) - start) // (2 * nodes))), 1)
        self._next = min(len(items), start + -(-size // self.chunk) * self.chunk)
        places = self._order[start : self._next]
        return self._seal(places, [items[place] for place in places])


class Lazy(Work):
    """A map whose items come one after the other."""

    hold = HOLD_READ_S

    def __init__(self, name, job, chunk, priority=0):
        super().__init__(name, job, chunk, priority)
        self.kind = "each" if job.order == "imap_unordered" else "parcel"
        self._waiting: deque = deque()  # pieces: the place of the first item, and the items
        self.count = 0  # how many wait

    def add(self, start, items):
        """Take items that have come."""
        if self.is_empty():
            self.served_at = monotonic()
        self._waiting.append((start, items))
        self.count += len(items)

    def is_empty(self):
        return not self.again and not self._waiting

    def _first(self, workers, nodes):
        return workers

    def _cut(self, size, node, nodes):
        start, items = self._waiting.popleft()
        while self._waiting and len(items) < size:
            items = [*items, *self._waiting.popleft()[1]]
        if len(items) > max(size, self.chunk):
            cut = max(size, self.chunk)
            self._waiting.appendleft((start + cut, items[cut:]))
            items = items[:cut]
        self.count -= len(items)
        return self._seal(range(start, start + len(items)), items)

    def _give_back(self, places, items):
        self._waiting.appendleft((places[0], items))
        self.count += len(items)


class Calls(Work):
    """All single calls of one priority, that hold the same, that wait; of one job each."""

    kind = "calls"

    def __init__(self, priority=0, most=None):
        super().__init__(0, None, None, priority)
        self.most = most
        self._waiting: deque = deque()

    def add(self, job, function, call):
        """Take a call: the pickle of its function, which several may share, and the rest of what is told of it."""
        if self.is_empty():
            self.served_at = monotonic()
        self._waiting.append((job, (function, call)))

    def is_empty(self):
        return not self.again and not self._waiting

    def _first(self, workers, nodes):
        return workers

    def _cut(self, size, node, nodes):
        jobs, sealed, nbytes = [], [], 0
        size = min(size, max(node.workers, -(-len(self._waiting) // nodes)))
        while self._waiting and len(jobs) < size and nbytes < MOST_BYTES:
            job, one = self._waiting.popleft()
            if not job.settled:
                jobs.append(job)
                sealed.append(one)
                nbytes += size_of(one[1][0])
        return Parcel(self, jobs, sealed)
