"""Probes 1-9 and 17-20: what a guilty task, object or initializer does to a pool, and a thread that ends it."""

import os
import signal
import threading
import time

from benches.faults import tasks
from benches.faults.limits import limit
from benches.faults.verdict import (
    ANSWER_LIMIT_S,
    Fault,
    Hung,
    judge,
    map_again,
    outcome,
    submit_eight,
    text_of,
)

DEATH_LIMIT_S = 0.05
TASK_TIMEOUT_S = 1.0
STARTS_LIMIT = 20
LOOK_AHEAD_LIMIT = 10_000


def workers_of(pool):
    """The pool's workers, once both have started."""
    until = time.monotonic() + limit(ANSWER_LIMIT_S)
    while len(found := set(pool.map(tasks.own_pid, range(8), limit(10)))) < 2 and time.monotonic() < until:
        continue
    return found


def eight(probe, guilty, is_right_error, innocent=tasks.square):
    """Runs eight tasks in a fresh pool, one of them `guilty`."""
    with probe.pool() as pool:
        submitted = submit_eight(pool, innocent, lambda: pool.submit(*guilty))
        judge(pool, submitted, is_right_error)


def killed_worker(probe):
    """1 a task SIGKILLs its worker"""
    noticed = []

    def names_the_cause(error):
        noticed.append(time.monotonic() - float((tasks.folder() / "died").read_text()))
        words = ("died", "killed", "sigkill", "signal 9", "-9", "exited", "terminat")
        return any(word in text_of(error).lower() for word in words)

    eight(probe, (tasks.kill_worker, 0), names_the_cause, tasks.slow_square)
    if noticed[0] > limit(DEATH_LIMIT_S):
        raise Fault(f"only after {noticed[0]:.2g} s")
    return f"ok, after {noticed[0] * 1000:.1f} ms"


def killed_idle_workers(probe):
    """2 all idle workers SIGKILLed, then 4 tasks"""
    with probe.pool() as pool:
        for pid in workers_of(pool):
            os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + limit(ANSWER_LIMIT_S)
        try:
            submitted = [pool.submit(tasks.square, number) for number in range(4)]
        except Exception as error:
            raise Fault("pool broken", repr(error))
        found = [outcome(task, until) for task in submitted]
        if any(isinstance(answer, Hung) for answer in found):
            raise Fault("hangs", repr(found))
        if found != [0, 1, 4, 9]:
            raise Fault("pool broken", found)
        map_again(pool)


def unrebuildable_exception(probe):
    """3 exception that cannot be rebuilt"""

    def tells_all(error):
        text = text_of(error)
        parts = ("CannotBeRebuilt", "the reason of it", "raise_what_cannot_be_rebuilt")
        return all(part in text for part in parts)

    eight(probe, (tasks.raise_what_cannot_be_rebuilt, 0), tells_all)


def base_exception(probe):
    """4 `BaseException` in a task"""
    eight(probe, (tasks.raise_base_exception, 0), lambda error: isinstance(error, tasks.Unusual))


def system_exit(probe):
    """5 `sys.exit(5)` in a task"""
    with probe.pool() as pool:
        before = workers_of(pool)
        submitted = submit_eight(pool, tasks.square, lambda: pool.submit(tasks.exit_with_5, 0))
        judge(pool, submitted, lambda error: isinstance(error, SystemExit) and error.code == 5)
        if not set(pool.map(tasks.own_pid, range(8), limit(10))) <= before:
            raise Fault("worker lost", "a worker was replaced")


def unpicklable_result(probe):
    """6 unpicklable result"""
    eight(probe, (tasks.return_unpicklable, 0), lambda error: "lock" in text_of(error))


def result_that_explodes(probe):
    """7 result that raises when unpickled"""
    eight(probe, (tasks.return_what_explodes, 0), lambda error: "exploded" in text_of(error))


def argument_that_explodes(probe):
    """8 argument that raises when unpickled"""
    guilty = (tasks.square, tasks.ExplodesWhenUnpickled())
    eight(probe, guilty, lambda error: "exploded" in text_of(error))


def failing_initializer(probe):
    """9 failing initializer"""
    text, answers = "the initializer failed on purpose", []
    pool = None
    try:
        pool = probe.library.pool(2, tasks.fail_in_initializer)
        submitted = [pool.submit(tasks.square, number) for number in range(8)]
        until = time.monotonic() + limit(5)
        answers = [outcome(task, until) for task in submitted]
    except Exception as error:
        answers = [error]
    runs = (tasks.folder() / "initialized").stat().st_size
    if any(isinstance(answer, Hung) for answer in answers):
        raise Fault("respawns for ever" if runs > STARTS_LIMIT else "hangs", f"initialized {runs} times")
    if not all(isinstance(answer, BaseException) for answer in answers):
        raise Fault("no error", repr(answers))
    if pool is not None:
        probe.say("terminating the pool")
        pool.terminate()
    if runs > STARTS_LIMIT:
        raise Fault(f"{runs} restarts", repr(answers[0]))
    if not all(text in text_of(answer) for answer in answers):
        raise Fault("cause not named", text_of(answers[0]))
    return f"ok, initialized {runs} times"


def nested_pool(probe):
    """17 nested pool"""
    with probe.pool() as pool:
        submitted = [pool.submit(tasks.nested_sum, probe.name, probe.start_method) for _ in range(2)]
        until = time.monotonic() + limit(ANSWER_LIMIT_S)
        found = [outcome(task, until) for task in submitted]
        if any(isinstance(answer, Hung) for answer in found):
            raise Fault("hangs", repr(found))
        if found != [14, 14]:
            raise Fault(type(found[0]).__name__, repr(found))
        map_again(pool)


def endless_task(probe):
    """18 timeout of 1 s on an endless task"""
    with probe.pool() as pool:
        pool.map(tasks.own_pid, range(8), limit(10))
        started = time.monotonic()
        submitted = submit_eight(pool, tasks.square, lambda: pool.submit_with_timeout(TASK_TIMEOUT_S, tasks.endless, 0))
        took = []

        def is_timeout(error):
            took.append(time.monotonic() - started)
            return "time" in text_of(error).lower()

        judge(pool, submitted, is_timeout)
    return f"ok, after {took[0]:.2f} s"


def endless_iterator(probe):
    """19 endless iterator into `imap_unordered`"""
    taken = 0

    def numbers():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with probe.pool() as pool:
        results = iter(pool.imap_unordered(tasks.square, numbers()))
        for _ in range(3):
            next(results)
        # The measurement is of how much is taken while nobody reads, so here time itself is what is waited for.
        time.sleep(2)
        held = taken
        if held > LOOK_AHEAD_LIMIT:
            raise Fault(f"{held:,} items held after 2 s")
        probe.say("terminating the pool")
        pool.terminate()
        return f"ok, {held} items taken"


def late_submission(probe):
    """20 `submit`, `map` while another thread terminates the pool"""
    answers = {}
    pool = probe.library.pool(2)
    pool.map(tasks.own_pid, range(4), limit(10))

    def submit():
        try:
            task = pool.submit(tasks.Lingering(), 3)
        except Exception as error:
            answers["submit"] = error
        else:
            answers["submit"] = outcome(task, until)

    def map_all():
        try:
            answers["map"] = list(pool.map_forever(tasks.Lingering(), range(8)))
        except Exception as error:
            answers["map"] = error

    until = time.monotonic() + limit(ANSWER_LIMIT_S)
    threads = [threading.Thread(target=call, daemon=True) for call in (submit, map_all)]
    end = threading.Thread(target=pool.terminate, daemon=True)
    for thread in threads:
        thread.start()
    if not tasks.lingers.wait(limit(ANSWER_LIMIT_S)):
        raise Fault("is never pickled")
    probe.say("terminating the pool")
    end.start()
    end.join(1)
    tasks.go_on.set()
    for thread in [*threads, end]:
        thread.join(max(0.05, until - time.monotonic()))
    if end.is_alive() or len(answers) < 2 or any(isinstance(answer, Hung) for answer in answers.values()):
        raise Fault("hangs", f"{answers}, terminate() {'does not return' if end.is_alive() else 'has returned'}")
    wrong = {
        name: a
        for name, a in answers.items()
        if not isinstance(a, Exception) and a not in (9, [0, 1, 4, 9, 16, 25, 36, 49])
    }
    if wrong:
        raise Fault("a wrong result", wrong)


PROBES = {
    1: killed_worker,
    2: killed_idle_workers,
    3: unrebuildable_exception,
    4: base_exception,
    5: system_exit,
    6: unpicklable_result,
    7: result_that_explodes,
    8: argument_that_explodes,
    9: failing_initializer,
    17: nested_pool,
    18: endless_task,
    19: endless_iterator,
    20: late_submission,
}
