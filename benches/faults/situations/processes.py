"""Workers, the forkserver and the parent at the hands of signals, and tasks that change their own process."""

import os
import signal
import sys
import threading
import time

import procession

from benches.faults.situations import failure, situation, works

LIMIT_S = 60


def own_pid(_=None):
    """Returns the id of the worker."""
    return os.getpid()


def square(number):
    """Returns the square, after a moment."""
    time.sleep(0.001)
    return number * number


def kill_self(number):
    """Kills its worker by a signal of the caller's choice."""
    os.kill(os.getpid(), number)
    time.sleep(LIMIT_S)


def exit_at_once(code):
    """Ends the worker without any clean-up."""
    os._exit(code)


def become_another_program():
    """Replaces the worker by a program that ends."""
    os.execv("/bin/true", ["/bin/true"])


def fork_in_task():
    """Forks a process that outlives the task, and tells its id."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    os.close(writer)
    return os.waitpid(child, 0)[1]


@situation
def deaths_by_every_signal(ctx):
    """Each is named in the error of its own task."""
    with ctx.Pool(2) as pool:
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGBUS, signal.SIGFPE):
            error = failure(pool.apply_async(kill_self, (number,)).get, LIMIT_S)
            assert isinstance(error, procession.WorkerDied) and number.name in str(error), error
        for code in (0, 1, 255):
            error = failure(pool.apply_async(exit_at_once, (code,)).get, LIMIT_S)
            assert isinstance(error, procession.WorkerDied) and str(code) in str(error), error
        assert isinstance(failure(pool.apply_async(become_another_program).get, LIMIT_S), procession.WorkerDied)
        works(pool)


@situation
def three_hundred_deaths_in_a_row(ctx):
    """Each task has its outcome, and the pool still works."""
    count = 300 if ctx.get_start_method() != "spawn" else 30
    with ctx.Pool(2) as pool:
        results = [pool.apply_async(kill_self, (signal.SIGKILL,)) for _ in range(count)]
        assert all(isinstance(failure(result.get, LIMIT_S), procession.WorkerDied) for result in results)
        works(pool)


@situation
def a_fork_inside_a_task(ctx):
    """The task's own child works, and the pool goes on."""
    with ctx.Pool(2) as pool:
        assert pool.map(lambda_free_fork, range(4), 1) == [0] * 4
        works(pool)


def lambda_free_fork(_):
    """Calls `fork_in_task` with an argument to spare."""
    return fork_in_task()


@situation
def stopped_workers(ctx):
    """While one worker is stopped the other does the work; continued, it goes on."""
    with ctx.Pool(2) as pool:
        pids = set()
        while len(pids) < 2:
            pids |= set(pool.map(own_pid, range(20), 1))
        stopped = min(pids)
        os.kill(stopped, signal.SIGSTOP)
        try:
            results = [pool.apply_async(square, (n,)) for n in range(200)]
            done = [r for r in results if not r.wait(0) and r.ready()]
            deadline = time.monotonic() + LIMIT_S
            while len(done) < 150 and time.monotonic() < deadline:
                done = [r for r in results if r.ready()]
                time.sleep(0.01)
            assert len(done) >= 150, len(done)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert [r.get(LIMIT_S) for r in results] == [n * n for n in range(200)]


@situation
def a_storm_of_stops(ctx):
    """Workers that are stopped and continued at random lose nothing."""
    with ctx.Pool(3) as pool:
        pids = list({*pool.map(own_pid, range(50), 1)})
        end = threading.Event()

        def storm():
            while not end.is_set():
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                    end.wait(0.002)
                    os.kill(pid, signal.SIGCONT)

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            for _ in range(20):
                assert pool.map(abs, range(2000)) == list(range(2000))
                assert sorted(pool.imap_unordered(abs, range(500))) == list(range(500))
        finally:
            end.set()
            thread.join()


@situation
def a_killed_forkserver(ctx):
    """Pools made before and after go on; workers that die are replaced."""
    if ctx.get_start_method() != "forkserver":
        return
    from procession.forkserver import _forkserver

    with ctx.Pool(2) as pool:
        works(pool)
        os.kill(_forkserver._forkserver_pid, signal.SIGKILL)
        works(pool)
        error = failure(pool.apply_async(kill_self, (signal.SIGKILL,)).get, LIMIT_S)
        assert isinstance(error, procession.WorkerDied), error
        works(pool)
        with ctx.Pool(2) as another:
            works(another)


def spoil_the_process(what):
    """Changes something of its own process that a library might count on."""
    if what == "descriptors":
        limit = 4096
        os.closerange(3, limit)
    elif what == "streams":
        os.close(0)
        os.close(1)
        os.close(2)
        sys.stdout = sys.stderr = None
    elif what == "directory":
        os.chdir("/")
    elif what == "umask":
        os.umask(0o777)
    elif what == "mask":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    elif what == "handlers":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
    elif what == "threads":
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return what


@situation
def tasks_that_spoil_their_process(ctx):
    """Directory, masks, streams, handlers, threads: the results come all the same, and the pool ends in time."""
    for what in ("streams", "directory", "umask", "mask", "handlers", "threads"):
        pool = ctx.Pool(2)
        assert pool.apply_async(spoil_the_process, (what,)).get(LIMIT_S) == what
        works(pool)
        started = time.monotonic()
        pool.terminate()
        pool.join()
        assert time.monotonic() - started < LIMIT_S / 2, what


@situation
def a_task_that_closes_all_descriptors(ctx):
    """It has its outcome, or dies alone; the next tasks have theirs."""
    with ctx.Pool(2) as pool:
        result = pool.apply_async(spoil_the_process, ("descriptors",))
        try:
            assert result.get(LIMIT_S) == "descriptors"
        except procession.WorkerDied:
            pass
        works(pool)


def thread_that_stays(_):
    """Leaves a thread behind that is no daemon."""
    threading.Thread(target=time.sleep, args=(3600,)).start()


@situation
def a_task_that_leaves_a_thread(ctx):
    """`terminate` ends the worker all the same."""
    pool = ctx.Pool(2)
    pool.apply(thread_that_stays, (0,))
    pool.terminate()
    pool.join()


@situation
def workers_killed_while_the_pool_ends(ctx):
    """`terminate`, and `close` with `join`, return."""
    for end in ("terminate", "close"):
        pool = ctx.Pool(3)
        pids = {*pool.map(own_pid, range(30), 1)}
        results = [pool.apply_async(square, (n,)) for n in range(20)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        getattr(pool, end)()
        pool.join()
        if end == "close":
            outcomes = [r.get(LIMIT_S) if r.successful() else None for r in results]
            assert sum(o is None for o in outcomes) <= 3, outcomes
