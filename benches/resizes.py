"""Random sizes of a pool in the middle of maps, while its workers are killed: no item may be lost or run twice.

`python -m benches.resizes 1000` sets so many sizes by each start method, and says what became of the items.
"""

import random
import sys
import threading

import procession

MOST = 5
ITEMS = 400
LIMIT_S = 60.0

_begun = None
_done = None


def share_counts(begun, done):
    """Note, in a worker, where items are counted."""
    global _begun, _done
    _begun, _done = begun, done


def count(item):
    """Count that an item has begun, work a little, count that it is done."""
    _begun[item] += 1
    total = sum(range(2000 + item % 7 * 1000))
    _done[item] += 1
    return item, total


class Counts:
    """What has become of the items.

    Attributes:
        resizes, kills: how many there were.
        items: how many items there were.
        failed: how many were lost with a worker that was killed while it ran them.
        lost: how many had no outcome, or another one's.
        twice: how many ran more than once, or had two outcomes.
    """

    def __init__(self):
        self.resizes = self.kills = self.items = self.failed = self.lost = self.twice = 0

    def __repr__(self):
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


def run(method, resizes, seed=1, killing=True):
    """Set so many random sizes under maps; return the `Counts`."""
    rng = random.Random(seed)
    counts = Counts()
    ctx = procession.get_context(method)
    begun, done = (ctx.Array("B", ITEMS, lock=False) for _ in range(2))
    with ctx.Pool(2, share_counts, (begun, done)) as pool:
        while counts.resizes < resizes:
            begun[:] = done[:] = bytes(ITEMS)
            _one_map(pool, rng, counts, resizes, killing)
            counts.items += ITEMS
            counts.twice += sum(times > 1 for times in begun)
    pool.join()
    return counts


def _one_map(pool, rng, counts, resizes, killing):
    outcomes = pool.imap_unordered(count, range(ITEMS), chunksize=rng.choice((1, 3, 20)), buffersize=ITEMS)
    over = threading.Event()
    disturbing = threading.Thread(target=_disturb, args=(pool, rng, counts, resizes, killing, over))
    disturbing.start()
    met = [0] * ITEMS
    failed = 0
    try:
        while True:
            try:
                item, _ = outcomes.next(LIMIT_S)
                met[item] += 1
            except procession.WorkerDied:
                failed += 1
            except StopIteration:
                break
    finally:
        over.set()
        disturbing.join()
    counts.failed += failed
    counts.twice += sum(times > 1 for times in met)
    counts.lost += abs(met.count(0) - failed)


def _disturb(pool, rng, counts, resizes, killing, over):
    while not over.wait(rng.random() * 0.004):
        if counts.resizes == resizes:
            return
        pool.resize(rng.randint(1, MOST))
        counts.resizes += 1
        is_last_chance = counts.resizes == resizes and not counts.kills
        if killing and (rng.random() < 0.15 or is_last_chance):
            living = [worker for worker in list(pool._pool) if worker.exitcode is None]
            if living:
                rng.choice(living).kill()
                counts.kills += 1


def main():
    """Run it by each start method; the exit code says whether all was right."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    wrong = 0
    for method in procession.get_all_start_methods():
        counts = run(method, wanted)
        wrong += counts.lost + counts.twice
        print(f"{method:>10}: {counts}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
