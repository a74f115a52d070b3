"""Calls in a pool of threads that may take so long only, or are tried again.

A thread can be neither interrupted nor ended. So a call that takes too long is given up where it runs: whoever waits
gets `TaskTimeout`, another thread takes the place of the one that is in it, and that one ends when the call returns.
"""

import threading
from time import monotonic

from procession._exceptions import TaskTimeout


class Trial:
    """A call with a limit of time and further tries.

    Args:
        crew: of the pool.
        wishes: what `_checks.wishes` gives.
        call: is called once for each try, with until when it may run, or None, and how often it was tried before.
        settle: is called once with whether it succeeded and with the value, or the exception.
        wanted: says whether somebody still wants the outcome.
    """

    def __init__(self, crew, wishes, call, settle, wanted):
        self._crew = crew
        self.limit, self._tries, self._retry_on = wishes
        self._tried = 0
        self._call = call
        self._settle = settle
        self._wanted = wanted
        self._lock = threading.Lock()
        self._turn = 0  # which try it is; even while none runs

    def step(self):
        """Try once, in a thread of the pool; True when that thread has lost its place meanwhile."""
        if not self._wanted():
            self._settle(False, None)
            return False
        with self._lock:
            self._turn += 1
            turn = self._turn
        until = None
        if self.limit is not None:
            until = monotonic() + self.limit
            self._crew.watch.add(self, turn, until)
        try:
            outcome = True, self._call(until, self._tried)
        except BaseException as error:
            outcome = False, error
        if self.limit is not None:
            self._crew.watch.remove(self, turn)
        if not self._end(turn):
            return True
        self._judge(*outcome)
        return False

    def _end(self, turn):
        """End the try `turn`; False when somebody else has."""
        with self._lock:
            if self._turn != turn:
                return False
            self._turn += 1
            return True

    def expire(self, turn, thread):
        """The try `turn` has taken too long in `thread`."""
        if self._end(turn):
            self._crew.replace(thread)
            self._judge(False, TaskTimeout(f"the task ran longer than its timeout of {self.limit:g} s"))

    def _judge(self, success, value):
        if not success and self._tries and self._retry_on and isinstance(value, self._retry_on):
            self._tries -= 1
            self._tried += 1
            self._crew.put(self.step)
        else:
            self._settle(success, value)


class TrialWatch:
    """Tells trials that their time is over; has a thread while the pool has not ended."""

    def __init__(self, name):
        self._name = name
        self._changed = threading.Condition(threading.Lock())
        self._running = {}  # of each trial that runs, and its turn: its end, its thread
        self._thread = None
        self._ended = False

    def add(self, trial, turn, until):
        """Watch a trial that begins now in this thread and may run until a moment."""
        with self._changed:
            self._running[trial, turn] = until, threading.current_thread()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, trial, turn):
        """Forget a try that has come back."""
        with self._changed:
            self._running.pop((trial, turn), None)
            if self._ended:
                self._changed.notify()

    def end(self):
        """Let the thread go when nothing is left to watch."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def join(self, timeout):
        """Wait for the thread to end, at most `timeout` seconds."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self):
        while True:
            with self._changed:
                if self._ended and not self._running:
                    return
                first = min((end for end, _ in self._running.values()), default=None)
                now = monotonic()
                if first is None or first > now:
                    self._changed.wait(None if first is None else first - now)
                    continue
                late = [(key, thread) for key, (end, thread) in self._running.items() if end <= now]
                for key, _ in late:
                    del self._running[key]
            for (trial, turn), thread in late:
                trial.expire(turn, thread)
