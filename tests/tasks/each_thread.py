"""A crew with a thread for each item: what another one takes, beside its row in the table of crews."""

import threading

from procession._pool.crews import Crew
from procession._pool.jobs import Stream, Supplier


class EachThread(Crew):
    """A thread for each item."""

    offers = frozenset(("retries",))
    whole = "a pool with a thread for each task"

    def begin(self):
        self._slots = threading.Semaphore(self.terms.count)
        self._over = threading.Event()
        super().begin()

    def start(self, job):
        threading.Thread(target=self._take if isinstance(job, Stream) else self._cut, args=(job,), daemon=True).start()

    def _cut(self, job):
        for place, item in enumerate(job.items):
            self._compute(job, place, item)

    def _take(self, job):
        supplier = job.supplier = Room(job)
        while not job.done():
            if not job.has_room():
                supplier.room.wait(0.01)
                supplier.room.clear()
                continue
            start, items = job.take(job.chunk)
            for place, item in enumerate(items, start):
                self._compute(job, place, item)

    def _compute(self, job, place, item):
        def run():
            with self._slots:
                job.deliver(place, [job.outcome(item, place)])

        threading.Thread(target=run, daemon=True).start()

    def dismiss(self):
        self._over.set()

    def await_end(self, limit):
        self.ended = self._over.wait(limit)


class Room(Supplier):
    """Tells the thread that takes items that outcomes were read."""

    def __init__(self, job):
        super().__init__(job)
        self.room = threading.Event()

    def go_on(self):
        self.room.set()
