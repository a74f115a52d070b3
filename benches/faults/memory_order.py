"""Whether a ring is ever lost: python -m benches.faults.memory_order --rounds 5000000.

One process writes a number and rings, twice in a row; the other waits to be rung, takes that back, and answers with
the number that it sees.  Nothing but the bell orders the number.  A ring is lost when the answer is an old number and
nothing rings any more.
"""

import argparse
import os
import sys
import time

import procession
from procession.queues import Empty

LOOKS = 20_000
END = 2**63


class Set:
    """An event; `waits`: the other side sleeps, and this one looks first."""

    def __init__(self, context, waits=False):
        self.event, self.waits = context.Event(), waits

    def ring(self):
        if not (self.waits and self.event.is_set()):
            self.event.set()

    def was_rung(self):
        rung = self.event.wait(0.001) if self.waits else self.event.is_set()
        if rung:
            self.event.clear()
        return rung


class Bounded:
    """A semaphore of one permit; giving one that is there already is refused."""

    def __init__(self, context):
        self.semaphore = context.BoundedSemaphore(1)
        self.semaphore.acquire()

    def ring(self):
        try:
            self.semaphore.release()
        except ValueError:
            pass

    def was_rung(self):
        return self.semaphore.acquire(False)


class Put:
    """A queue, into which nothing is put that is not empty."""

    def __init__(self, context):
        self.queue = context.Queue()

    def ring(self):
        if self.queue.empty():
            self.queue.put(None)

    def was_rung(self):
        try:
            self.queue.get_nowait()
        except Empty:
            return False
        return True


BELLS = {
    "an event": Set,
    "an event that is waited for": lambda context: Set(context, waits=True),
    "a semaphore of one permit": Bounded,
    "a queue": Put,
}


def ring(bell, numbers, rounds, end=None):
    """Ring so many times, or until the time `end`; return how many rounds there were, and how many rings were lost."""
    number, rung, answer, lost = numbers
    done = 0
    while done < rounds and (end is None or not done or done % 16 or time.monotonic() < end):
        done += 1
        number.value = 2 * done - 1
        bell.ring()
        number.value = 2 * done
        bell.ring()
        rung.value = 2 * done
        looks = 0
        while answer.value != 2 * done:
            looks += 1
            if looks > LOOKS:
                os.sched_yield()
    number.value = END
    bell.ring()
    rung.value = END
    return done, lost.value


def answer(bell, numbers):
    """Answer until the end."""
    number, rung, answer, lost = numbers
    seen = looks = 0
    while seen != END:
        if not bell.was_rung():
            looks += 1
            # Not before the other side has rung: it may have been stopped between number and ring.
            last = rung.value if looks % LOOKS == 0 or getattr(bell, "waits", False) else seen
            if last <= seen:
                continue
            if not bell.was_rung():
                lost.value += 1
                answer.value = seen = last
                continue
        answer.value = seen = number.value


def try_bell(name, context, rounds, end=None):
    """Return how many rounds there were, and how many rings were lost."""
    bell = BELLS[name](context)
    numbers = [context.RawValue("Q", 0) for _ in range(4)]
    child = context.Process(target=answer, args=(bell, numbers))
    child.start()
    outcome = ring(bell, numbers, rounds, end)
    child.join()
    return outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--rounds", type=int, default=5_000_000)
    rounds = parser.parse_args().rounds
    failed = False
    for name in BELLS:
        done, lost = try_bell(name, procession.get_context(), rounds)
        failed |= lost > 0
        print(f"memory order: {name}, two processes: {done} rounds, {lost} lost", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
