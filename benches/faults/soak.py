"""Kills workers at random under random work, beside what else programs do: each task has exactly one right outcome.

python -m benches.faults.soak --seconds 60 --start-method forkserver
"""

import argparse
import contextlib
import os
import random
import signal
import threading
import time

import procession

from benches.faults.company import OtherPools, abandoned_lazy_map, forked_stranger

OUTCOME_LIMIT_S = 120
# The longest pause between two kills, while tasks have outcomes in between: a pool gives up when its workers die again
# and again before they are ready, and an interpreter started from nothing takes its time.
PAUSE_S = {"fork": 0.02, "forkserver": 0.02, "spawn": 0.5}
# After so many tasks a worker is replaced: often enough for some in each minute, seldom enough for other work.
TASKS_A_WORKER = {"fork": 500, "forkserver": 500, "spawn": 5000}
# Of so many maps, one is followed by a forked process, one by a lazy map that is not read to its end.
STRANGER_EVERY, ABANDONED_EVERY = 20, 10
# The longest pause for the first outcome after a kill.
PATIENCE_S = 2.0
SIZES = (0, 10, 300, 3000, 50_000)


# What results have in common: as it is, and as it changes from task to task.
TEXTS = {f"key {number}": f"value {number}" for number in range(500)}
CHANGING = {"number": None, "texts": list(TEXTS)}


def work(item):
    """Return what the check expects of (number, size)."""
    number, size = item
    if number % 7 == 0:
        time.sleep(0.0005)
    return number * number, b"x" * size


def work_with(item):
    """As `work`, with objects that other results have, too."""
    number, size = item
    CHANGING["number"] = number
    return *work(item), TEXTS if number % 3 else CHANGING


def shares_rightly(answer):
    """Whether an answer has what it may have in common with others."""
    if answer is None or len(answer) == 2:
        return True
    square, _, found = answer
    if "number" not in found:
        return found == TEXTS
    return found["number"] ** 2 == square and found["texts"] == CHANGING["texts"]


class Soak:
    """One pool under fire.

    Args:
        method: the start method of its workers.
        seed: of the random choices.
    """

    def __init__(self, method, seed):
        self.method = method
        self.context = procession.get_context(method)
        self.rng = random.Random(seed)
        self.pause = PAUSE_S[method]
        self.kills = self.maps = self.tasks = self.lost = self.outcomes = 0
        self.pools = self.strangers = self.abandoned = 0

    def run(self, seconds, kills=0):
        """Keep the pool busy and its workers dying; AssertionError or TimeoutError when it fails.

        Args:
            seconds: for how long, at least.
            kills: and until so many were killed.
        """
        stop = threading.Event()
        others = OtherPools(self.context, self.rng.random())
        with self.context.Pool(3, maxtasksperchild=TASKS_A_WORKER[self.method]) as pool, others:
            killer = threading.Thread(target=self.kill_until, args=(stop, pool))
            killer.start()
            try:
                end = time.monotonic() + seconds
                while time.monotonic() < end or (self.kills < kills and killer.is_alive()):
                    self.one_map(pool)
                    self.company(pool)
                    others.check()
            finally:
                stop.set()
                killer.join()
        others.check()
        self.pools = others.made
        pool.join()

    def kill_until(self, stop, pool):
        """Kill a worker now and then."""
        rng = random.Random(self.rng.random())
        seen, last = self.outcomes, time.monotonic()
        while not stop.wait(rng.random() * self.pause):
            workers = list(pool._pool)
            if workers and (self.outcomes != seen or time.monotonic() - last > PATIENCE_S):
                seen, last = self.outcomes, time.monotonic()
                with contextlib.suppress(ProcessLookupError, TypeError):
                    os.kill(rng.choice(workers).pid, rng.choice([signal.SIGKILL, signal.SIGSEGV]))
                    self.kills += 1

    def company(self, pool):
        """Do now and then what a program does beside its maps."""
        if self.rng.randrange(STRANGER_EVERY) == 0:
            self.strangers += 1
            forked_stranger(pool)
        if self.rng.randrange(ABANDONED_EVERY) == 0:
            self.abandoned += 1
            abandoned_lazy_map(pool, work)

    def one_map(self, pool):
        """Submit some tasks in some way and check their outcomes."""
        count = self.rng.choice([1, 10, 300, 3000])
        size = self.rng.choice(SIZES[: 5 if count <= 300 else 3])
        items = [(number, size) for number in range(count)]
        self.maps += 1
        self.tasks += count
        way = self.rng.choice(["apply", "imap", "imap_unordered"])
        if way == "apply":
            results = [pool.apply_async(work, (item,)) for item in items]
            answers = [self.outcome(lambda result=result: result.get(OUTCOME_LIMIT_S)) for result in results]
        else:
            function = self.rng.choice([work, work_with])
            results = getattr(pool, way)(function, items, self.rng.choice([1, 1, 7, 50]))
            answers = [self.outcome(lambda: results.next(OUTCOME_LIMIT_S)) for _ in items]
            assert next(results, None) is None, "more outcomes than tasks"
        numbers = [answer[0] for answer in answers if answer is not None]
        assert all(answer is None or answer[1] == b"x" * size for answer in answers), "a wrong result"
        assert all(map(shares_rightly, answers)), "a wrong object in common"
        assert len(set(numbers)) == len(numbers), "a task with two outcomes"
        assert set(numbers) <= {number * number for number in range(count)}, "a wrong result"
        assert way == "imap_unordered" or numbers == sorted(numbers), "results out of order"

    def outcome(self, ask):
        """Return what a task returned, None when its worker died."""
        self.outcomes += 1
        try:
            return ask()
        except procession.WorkerDied as error:
            if "giving up" in str(error):
                raise
            self.lost += 1
            return None
        except StopIteration:
            raise AssertionError("fewer outcomes than tasks") from None


def main():
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="for how long, each start method (default: 30)")
    parser.add_argument("--start-method", choices=procession.get_all_start_methods(), action="append")
    parser.add_argument("--seed", type=int, default=None, help="of the random choices (default: a new one each time)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(2**32)
    for method in options.start_method or procession.get_all_start_methods():
        soak = Soak(method, seed)
        soak.run(options.seconds)
        print(
            f"{method}: {soak.kills} kills, {soak.maps} maps, {soak.tasks} tasks, {soak.lost} lost with their workers, "
            f"0 wrong, 0 hung, beside {soak.pools} other pools, {soak.strangers} forked strangers, "
            f"{soak.abandoned} abandoned lazy maps (seed {seed})"
        )


if __name__ == "__main__":
    main()
