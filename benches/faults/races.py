"""Hands in jobs from eight threads while their pool comes to its end, again and again: each call has to get an answer.

    python -m benches.faults.races --rounds 10000 --each --minutes 60
    python -m benches.faults.races --rounds 500 --kind pool --start-method spawn --end terminate

A round is one thread whose call meets the end of its pool. A call that has no answer in time ends the program, with the
stacks of all threads. Where the minutes do not suffice, each way to end has its share of them, and the last line says
how many of the rounds there were.
"""

import argparse
import faulthandler
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from concurrent.futures import CancelledError
from pathlib import Path

import procession
from procession.futures import BrokenProcessPool, ProcessPoolExecutor
from procession.pool import PoolTerminated, ThreadPool

from benches.faults import leaving

THREADS = 8
LIMIT_S = 120
PROGRESS_S = 10
NAP_S = 0.003
REFUSALS = ValueError, PoolTerminated, RuntimeError, CancelledError, BrokenProcessPool


class Unready(Exception):
    """What the initializer raises that is to fail."""


def square(x):
    return x * x


def fail_once_there_is(path):
    """As an initializer: wait for a file, and fail."""
    until = time.monotonic() + LIMIT_S
    while not os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.0005)
    raise Unready("on purpose")


class Hesitant:
    """Squares; another thread may run while it is pickled."""

    def __call__(self, x):
        return x * x

    def __reduce__(self):
        time.sleep(random.random() * NAP_S / 10)
        return Hesitant, ()


# The ways to hand in a job, each with its answer.
CALLS = {
    "apply": lambda pool, f: [pool.apply(f, (3,))],
    "apply_async": lambda pool, f: [pool.apply_async(f, (3,)).get()],
    "map": lambda pool, f: pool.map(f, [3, 4]),
    "map_async": lambda pool, f: pool.map_async(f, [3, 4]).get(),
    "imap": lambda pool, f: list(pool.imap(f, iter([3, 4]))),
    "imap_unordered": lambda pool, f: sorted(pool.imap_unordered(f, iter([3, 4]))),
}
FUTURES = {
    "submit": lambda pool, f: [pool.submit(f, 3).result()],
    "map": lambda pool, f: list(pool.map(f, [3, 4])),
    "map, bounded": lambda pool, f: list(pool.map(f, [3, 4], chunksize=1)),
}


class Pools:
    """Process pools of a start method."""

    ends = ("terminate", "close", "break", "collect", "fork", "exit")
    calls = CALLS
    broken: type[Exception] = Unready  # what calls raise once an initializer has failed

    def __init__(self, method):
        self.context = procession.get_context(method)

    def make(self, initializer=None, initargs=()):
        """A pool."""
        return self.context.Pool(2, initializer, initargs)

    def end(self, pool, how):
        """End it in one of the ways `ends`, apart from those that need no call."""
        getattr(pool, how)()

    def settle(self, pool):
        """Wait for what is left of it."""
        pool.terminate()
        pool.join()


class Handles(Pools):
    """Handles of a shared pool, and the shared pool itself."""

    ends = ("terminate", "close", "end_shared_pools")

    def make(self, initializer=None, initargs=()):
        return procession.shared_pool(2, context=self.context)

    def end(self, pool, how):
        procession.end_shared_pools() if how == "end_shared_pools" else getattr(pool, how)()


class Threads(Pools):
    """Pools of threads."""

    ends = ("terminate", "close", "break", "collect")

    def make(self, initializer=None, initargs=()):
        return ThreadPool(2, initializer, initargs)


class Executors(Pools):
    """Executors over process pools."""

    ends = ("shutdown", "cancel", "terminate_workers", "kill_workers", "break", "exit")
    calls = FUTURES
    broken = BrokenProcessPool

    def make(self, initializer=None, initargs=()):
        return ProcessPoolExecutor(2, self.context, initializer, initargs)

    def end(self, pool, how):
        if how in ("shutdown", "cancel"):
            pool.shutdown(cancel_futures=how == "cancel")
        else:
            getattr(pool, how)()

    def settle(self, pool):
        pool.shutdown()


KINDS = {"pool": Pools, "handle": Handles, "threads": Threads, "executor": Executors}


class Bout:
    """One pool, the threads that use it, and its end."""

    def __init__(self, kind, how, folder):
        self.kind, self.how, self.folder = kind, how, folder
        self.ready = threading.Barrier(THREADS + 1)
        self.wrong = []
        self.calls = 0

    def run(self):
        """Let them meet; return what was wrong."""
        path = self.folder / "broken"
        path.unlink(missing_ok=True)
        pool = self.kind.make(*((fail_once_there_is, (path,)) if self.how == "break" else ()))
        threads = [threading.Thread(target=self.use, args=(pool, n), daemon=True) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        self.ready.wait()
        time.sleep(random.random() * NAP_S)
        if self.how == "break":
            path.touch()
        elif self.how == "fork":
            self.fork(pool)
            self.kind.end(pool, "terminate")
        else:
            self.kind.end(pool, self.how)
        for thread in threads:
            thread.join()
        self.kind.settle(pool)
        return self.wrong

    def use(self, pool, number):
        """Call the pool until it refuses."""
        allowed = self.kind.broken if self.how == "break" else REFUSALS
        self.ready.wait()
        time.sleep(random.random() * NAP_S)
        while True:
            name, call = random.choice(list(self.kind.calls.items()))
            function = random.choice([square, Hesitant()])
            self.calls += 1
            try:
                answer = call(pool, function)
            except allowed:
                return
            except BaseException as error:
                self.wrong.append((name, repr(error)))
                return
            if answer not in ([9], [9, 16]):
                self.wrong.append((name, answer))
                return

    def fork(self, pool):
        """A child has the pool of its parent, while the parent's threads use it: it is refused."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(LIMIT_S)  # the parent's watch over its threads is one of the things that stay behind
                pool.map(square, [3])
            except RuntimeError:
                status = 0
            finally:
                os._exit(status)
        if (status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) != 0:
            self.wrong.append(("fork", status))


class Collected(Bout):
    """A pool that is forgotten while jobs are at hand: each calls back, once."""

    def run(self):
        pool = self.kind.make()
        answers = []
        count = random.randrange(THREADS, 4 * THREADS)
        for _ in range(count):
            pool.apply_async(Hesitant(), (3,), {}, answers.append, answers.append)
        self.calls = count
        gone = threading.Event()
        weakref.finalize(pool, gone.set)
        del pool
        until = time.monotonic() + LIMIT_S
        while len(answers) < count and time.monotonic() < until:
            time.sleep(0.0005)
        if len(answers) != count or not all(a == 9 or isinstance(a, PoolTerminated) for a in answers):
            self.wrong.append(("collect", answers))
        if not gone.wait(LIMIT_S):
            self.wrong.append(("collect", "the pool stays"))
        return self.wrong


class Left(Bout):
    """A program that ends while its threads use pools."""

    def run(self):
        command = [sys.executable, "-W", "ignore", "-m", "benches.faults.leaving"]
        options = [type(self.kind).__name__, self.kind.context.get_start_method(), str(THREADS)]
        ended = subprocess.run([*command, *options], capture_output=True, text=True, timeout=LIMIT_S)
        self.calls = THREADS * leaving.POOLS
        if (ended.returncode, ended.stderr) != (0, ""):
            self.wrong.append(("exit", ended.returncode, ended.stderr))
        return self.wrong


def race(name, method, how, rounds, folder, seconds=float("inf")):
    """Run so many rounds of one kind while there is time; return how many, the calls, the seconds, what was wrong."""
    kind = KINDS[name](method)
    form = {"collect": Collected, "exit": Left}.get(how, Bout)
    done, calls, wrong, began = 0, 0, [], time.monotonic()
    told = began
    while done < rounds and not wrong and (now := time.monotonic()) < began + seconds:
        if now >= told + PROGRESS_S:
            told = now
            print(f"... {place(name, method)}: {how}: {done} of {rounds} rounds", flush=True)
        bout = form(kind, how, folder)
        faulthandler.dump_traceback_later(LIMIT_S, exit=True)
        wrong = bout.run()
        done += THREADS * (leaving.POOLS if how == "exit" else 1)
        calls += bout.calls
    faulthandler.cancel_dump_traceback_later()
    procession.end_shared_pools()
    return done, calls, time.monotonic() - began, wrong


def place(name, method):
    """What is ended, for messages."""
    return name if name == "threads" else f"{name} {method}"


def races(options):
    """The races that were asked for: kind, start method, way to end, and rounds."""
    for name in options.kind or KINDS:
        methods = options.start_method or procession.get_all_start_methods()
        ends = [how for how in KINDS[name].ends if how in (options.end or KINDS[name].ends)]
        for method in methods[:1] if name == "threads" else methods:
            for how in ends:
                yield name, method, how, options.rounds if options.each else -(-options.rounds // len(ends))


def main():
    """Run what was asked for."""
    command = argparse.ArgumentParser(prog="python -m benches.faults.races", description=__doc__.partition("\n")[0])
    command.add_argument(
        "--rounds", type=int, default=200, help="how many for each kind and start method, all ends together"
    )
    command.add_argument("--each", action="store_true", help="so many rounds for each end")
    command.add_argument("--minutes", type=float, default=float("inf"), help="how long at most (default: no limit)")
    command.add_argument("--kind", action="append", choices=list(KINDS), help="what to end (default: all)")
    command.add_argument("--start-method", action="append", choices=procession.get_all_start_methods())
    command.add_argument("--end", action="append", help="how (default: in all ways)")
    options = command.parse_args()
    wanted = list(races(options))
    until = time.monotonic() + 60 * options.minutes
    bad, total = False, 0
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, method, how, rounds) in enumerate(wanted):
            share = (until - time.monotonic()) / (len(wanted) - index)
            done, calls, seconds, wrong = race(name, method, how, rounds, Path(folder), share)
            print(f"{place(name, method)}: {how}: {done} rounds, {calls} calls, {seconds:.1f} s", *wrong, flush=True)
            bad |= bool(wrong)
            total += min(done, rounds)
    print(f"all: {total} of {sum(rounds for *_, rounds in wanted)} rounds")
    sys.exit(bad)


if __name__ == "__main__":
    main()
