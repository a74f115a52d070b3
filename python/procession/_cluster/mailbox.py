"""What an engine carries to a node and back: orders of the program, and news for it.

There are two calls, `post` and `collect`, in any order and any number of times each; both answer at once or after a
limit. What is posted has numbers, and is heeded in their order; what is collected is told again until the program says
that it has come.
"""

import queue
import threading
from time import monotonic

from procession._cluster.events import Events
from procession._cluster.packing import Message

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from typing import Any

__all__ = ["COLLECT_S", "Mailbox"]

COLLECT_S = 5.0  # how long `collect` waits for something to tell
SILENT_S = 120.0  # a program that has not collected for so long is gone


class Mailbox:
    """What works on a node on behalf of a program.

    A subclass has a method `_NAME_ordered` for each order, which is called in the thread of this object, and `_finish`.
    """

    def __init__(self):
        self._events = Events()
        self._news = threading.Condition()
        self._untold: list = []
        self._watchers: list = []  # of engines without a thread to wait in
        self._told: Any = (0, None)  # what was collected last, by its number
        self._seen = monotonic()
        self._inbox: dict = {}
        self._next = 0
        self._ended = False

    def begin(self):
        """Heed orders from now on, in a thread."""
        threading.Thread(target=self._work, name="ClusterAgent", daemon=True).start()

    # -- what the engine carries --------------------------------------------------------------------------------------

    def post(self, number, message):
        """Take a message, the `number`-th one."""
        self._events.put(("post", number, message))

    def take(self, acked):
        """Return what there is to tell, as `(number, message)`, None if there is nothing.

        Args:
            acked: the number of the last that has come.

        Raises:
            RuntimeError: there will be nothing any more, as it has ended.
        """
        with self._news:
            self._seen = monotonic()
            number, message = self._told
            if message is not None and number != acked:
                return self._told
            self._told = number, None
            if not self._untold:
                if self._ended:
                    raise RuntimeError(
                        "what worked on this node has ended: nobody had asked for long, or it has failed"
                    )
                return None
            untold, self._untold = self._untold, []
        told = number + 1, Message.of(untold)
        with self._news:
            self._told = told
        return told

    def collect(self, acked, limit=COLLECT_S):
        """Return what `take` does, once there is something or after `limit` seconds."""
        until = monotonic() + limit
        while (found := self.take(acked)) is None:
            with self._news:
                self._news.wait_for(lambda: self._untold or self._ended, until - monotonic())
                if not self._untold:
                    return None
        return found

    def call_when_news(self, tell):
        """Have `tell` called, once, when there is something to take."""
        with self._news:
            if not self._untold:
                self._watchers = [tell]  # whoever asked before has come to the limit
                return
        tell()

    def stop(self):
        """Have it end; does not wait for that."""
        self._events.put(("stop",))

    def await_end(self, limit):
        """Wait for the end, at most `limit` seconds."""
        with self._news:
            self._news.wait_for(lambda: self._ended, limit)

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _work(self):
        try:
            while True:
                try:
                    event = self._events.get(timeout=self._patience())
                except queue.Empty:
                    if monotonic() - self._seen > SILENT_S:
                        return
                    event = ("nothing",)
                if event[0] == "stop":
                    return
                if event[0] == "nothing":
                    pass
                elif event[0] == "post":
                    self._inbox[event[1]] = event[2]
                    while (message := self._inbox.pop(self._next, None)) is not None:
                        self._next += 1
                        self._heed(message.read())
                else:
                    self._hear(event)
                self._tell_held()
        finally:
            self._finish()
            with self._news:
                self._ended = True
                self._news.notify_all()

    def _heed(self, orders):
        for name, *arguments in orders:
            getattr(self, f"_{name}_ordered")(*arguments)

    def _patience(self):
        """Return for how many seconds at most it waits for an event."""
        return SILENT_S / 4

    def _tell_held(self):
        """Tell what was held back for long enough."""

    def _hear(self, event):
        """Something has happened that a subclass has put into the events."""
        raise NotImplementedError

    def _finish(self):
        """End what works here, and wait for that."""
        raise NotImplementedError

    def _tell(self, *news):
        with self._news:
            self._untold.append(news)
            watchers, self._watchers = self._watchers, []
            self._news.notify_all()
        for tell in watchers:
            tell()
