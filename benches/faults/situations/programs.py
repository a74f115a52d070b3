"""What the program around a pool does: threads, forks, signal handlers, globals, exits."""

import gc
import os
import signal
import threading
import time

import procession

from benches.faults.situations import alone, failure, situation, works

LIMIT_S = 60


def square(number):
    """Returns the square."""
    return number * number


@situation
def sixty_four_threads_on_one_pool(ctx):
    """Each gets its own results."""
    wrong = []

    def use(pool, base):
        try:
            for n in range(base, base + 20):
                if pool.apply(square, (n,)) != n * n:
                    wrong.append(n)
            if pool.map(square, range(base, base + 100)) != [n * n for n in range(base, base + 100)]:
                wrong.append(base)
            if list(pool.imap(square, range(base, base + 50))) != [n * n for n in range(base, base + 50)]:
                wrong.append(base)
        except BaseException as error:
            wrong.append(error)

    with ctx.Pool(2) as pool:
        threads = [threading.Thread(target=use, args=(pool, 1000 * n)) for n in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()
    assert not wrong, wrong[:3]


@situation
def a_pool_made_in_a_thread_that_ends(ctx):
    """It works on in other threads."""
    made = []
    thread = threading.Thread(target=lambda: made.append(ctx.Pool(2)))
    thread.start()
    thread.join(LIMIT_S)
    with made.pop() as pool:
        time.sleep(0.1)
        works(pool)


@situation
def a_pool_in_a_cycle(ctx):
    """The garbage collector ends it."""
    pool = ctx.Pool(2)
    works(pool)
    processes = list(pool._pool)
    cycle = {"pool": pool}
    cycle["self"] = cycle
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del pool, cycle
        gc.collect()
    for process in processes:
        process.join(LIMIT_S)
        assert process.exitcode is not None


@situation
def a_pool_used_after_fork(ctx):
    """In the child an error or a result within bounded time; in the parent the pool goes on."""
    with ctx.Pool(2) as pool:
        works(pool)
        child = os.fork()
        if child == 0:
            try:
                outcome = 0 if pool.apply_async(square, (3,)).get(5) == 9 else 3
            except Exception:
                outcome = 0
            except BaseException:
                outcome = 4
            finally:
                os._exit(outcome)
        deadline = time.monotonic() + LIMIT_S
        while (found := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
            works(pool)
        if found[0] == 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert found == (child, 0), found
        works(pool)


@situation
def a_pool_forked_and_left(ctx):
    """A forked copy of the parent that exits in good order does not end the parent's pool."""
    with ctx.Pool(2) as pool:
        works(pool)
        child = os.fork()
        if child == 0:
            del pool
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
        works(pool)


@situation
def new_pools_after_fork(ctx):
    """A forked copy of a program that used everything can start pools of its own."""
    with ctx.Pool(2) as pool:
        works(pool)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with ctx.Pool(2) as own:
                    works(own)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        works(pool)


@situation
@alone
def a_handler_that_reaps_everything(ctx):
    """A SIGCHLD handler with waitpid(-1) takes no outcome away."""

    def reap(*_):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    signal.signal(signal.SIGCHLD, reap)
    _pools_and_processes(ctx)


@situation
@alone
def an_ignored_sigchld(ctx):
    """The kernel reaps by itself, and nothing is missed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _pools_and_processes(ctx)


def _pools_and_processes(ctx):
    for _ in range(3):
        with ctx.Pool(2) as pool:
            works(pool)
            error = failure(pool.apply_async(os._exit, (5,)).get, LIMIT_S)
            assert isinstance(error, procession.WorkerDied), error
            works(pool)
    processes = [ctx.Process(target=square, args=(2,)) for _ in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_S)
        assert process.exitcode is not None


@situation
def a_storm_of_signals(ctx):
    """A handler that runs a thousand times a second disturbs nothing, in parent or workers."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        queue, lock = ctx.Queue(), ctx.Lock()
        with ctx.Pool(2, _own_storm) as pool:
            for _ in range(10):
                assert pool.map(square, range(1000)) == [n * n for n in range(1000)]
                assert pool.apply(square, (7,)) == 49
        for n in range(500):
            queue.put(n)
        assert [queue.get(timeout=LIMIT_S) for _ in range(500)] == list(range(500))
        assert lock.acquire(timeout=LIMIT_S)
        started = time.monotonic()
        assert not ctx.Event().wait(0.2) and time.monotonic() - started >= 0.2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _own_storm():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


class Interrupt(Exception):
    """Raised by a signal handler."""


@situation
def a_handler_that_raises_at_any_moment(ctx):
    """Waiting calls end with its exception, the pool works on, and nothing is lost for good."""

    def handler(*_):
        raise Interrupt

    signal.signal(signal.SIGALRM, handler)
    with ctx.Pool(2) as pool:
        works(pool)
        for n in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + n * 0.0001)
                while True:
                    pool.map(square, range(200))
                    pool.apply(square, (3,))
            except Interrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            works(pool)


@situation
def cancel_racing_completion(ctx):
    """A cancelled task has one outcome: its result or CancelledError; the pool goes on."""
    from concurrent.futures import CancelledError

    with ctx.Pool(2) as pool:
        for n in range(100):
            result = pool.apply_async(square, (n,))
            cancelled = result.cancel()
            try:
                assert result.get(LIMIT_S) == n * n
            except CancelledError:
                assert cancelled
        works(pool)


@situation
def callbacks_that_misbehave(ctx):
    """A callback that raises or uses the pool does not stop the others."""
    seen = []

    def bad(value):
        seen.append(value)
        raise RuntimeError("a bad callback")

    with ctx.Pool(2) as pool:
        results = [pool.apply_async(square, (n,), callback=bad) for n in range(10)]
        nested = []
        pool.apply_async(square, (3,), callback=lambda v: nested.append(pool.apply_async(square, (v,)))).wait(LIMIT_S)
        assert [r.get(LIMIT_S) for r in results] == [n * n for n in range(10)]
        assert nested[0].get(LIMIT_S) == 81
        works(pool)
    assert sorted(seen) == [n * n for n in range(10)]
