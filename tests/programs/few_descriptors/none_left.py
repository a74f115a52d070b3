"""Takes all descriptors away in a program, here and in workers: each call works, or says what is lacking."""

import errno
import os
import resource
import sys
import threading
import time

import procession
from procession import ProcessError  # it is loaded when it is asked for

LIMIT = 60


def double(number):
    return 2 * number


def fail(number):
    raise ValueError(number)


def unsendable(number):
    return lambda: number


def large(number):
    return bytes(4 << 20)


def slow(number):
    time.sleep(0.01)
    return 2 * number


def in_threads(pool):
    """Wait in four threads: one of them drives the pool, the others wait for it."""
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(pool.map(slow, range(8), 1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert answers == [[2 * number for number in range(8)]] * 4, answers


def take_all():
    """Leave this process no descriptor, and return the limit that it had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        while True:
            held.append(os.dup(1))
    except OSError:
        most = held[-1] + 1 if held else soft
    for descriptor in held:
        os.close(descriptor)
    # What is open below the highest number in use is no room, either.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(held, default=most), hard))
    return soft


def give_back(soft):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def take_in_worker(_):
    take_all()


def outcome(call, *arguments):
    """Return "ok", or the name of an error; one for a lack of descriptors has to say so."""
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == errno.EMFILE, error
        return "EMFILE"
    except (ProcessError, TypeError, ValueError) as error:
        return type(error).__name__
    return "ok"


def start(ctx):
    child = ctx.Process(target=double, args=(1,))
    child.start()
    child.join()


def through(queue):
    queue.put(bytes(1 << 20))
    assert len(queue.get(timeout=LIMIT)) == 1 << 20


def calls(ctx, pool, queue):
    """Yield a name and a call for each way in which a program may come to want a descriptor."""
    yield "map", lambda: pool.map_async(double, range(1000)).get(LIMIT)
    yield "apply", lambda: pool.apply_async(double, (1,)).get(LIMIT)
    yield "fail", lambda: pool.apply_async(fail, (1,)).get(LIMIT)
    yield "large argument", lambda: pool.apply_async(len, (bytes(4 << 20),)).get(LIMIT)
    yield "large result", lambda: pool.apply_async(large, (1,)).get(LIMIT)
    yield "unsendable", lambda: pool.apply_async(print, (sys.stdout,)).get(LIMIT)
    yield "threads", lambda: in_threads(pool)
    yield "queue", lambda: through(queue)
    yield "process", lambda: start(ctx)
    yield "lambda", lambda: pool.apply_async(lambda: 1).get(LIMIT)


def main(method):
    ctx = procession.get_context(method)
    queue = ctx.Queue()
    with ctx.Pool(2) as pool:
        assert pool.map(double, range(4)) == [0, 2, 4, 6]
        for name, call in calls(ctx, pool, queue):
            soft = take_all()
            try:
                told = outcome(call)
            finally:
                give_back(soft)
            print(f"parent, {name}: {told}", flush=True)
            assert pool.map(double, range(4)) == [0, 2, 4, 6]
        pool.map(take_in_worker, range(8), 1)
        for name, call in calls(ctx, pool, queue):
            print(f"worker, {name}: {outcome(call)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
