"""Queues, pipes, locks, shared memory and managers whose users die, stop or misbehave."""

import os
import queue as plain_queue
import random
import signal
import threading
import time
import warnings

import procession

from benches.faults.situations import failure, situation

LIMIT_S = 60


def put_for_ever(queue, size, ready):
    """Puts numbered items until it is killed."""
    number = 0
    while True:
        queue.put((os.getpid(), number, b"x" * size))
        number += 1
        if number == 3:
            ready.set()


def get_for_ever(queue, ready):
    """Gets items until it is killed."""
    while True:
        queue.get()
        ready.set()


def die_by(process):
    """Kills a process and waits for it."""
    process.kill()
    process.join(LIMIT_S)
    assert process.exitcode is not None


@situation
def writers_killed_at_random(ctx):
    """Readers get whole items, in order for each writer, and never wait for a dead one."""
    for make in (ctx.Queue, ctx.SimpleQueue, ctx.JoinableQueue):
        for size in (10, 5_000, 300_000):
            queue, ready = make(), ctx.Event()
            writers = [ctx.Process(target=put_for_ever, args=(queue, size, ready)) for _ in range(2)]
            for writer in writers:
                writer.start()
            seen = dict.fromkeys((w.pid for w in writers), -1)

            def take(queue=queue, seen=seen, size=size):
                pid, number, data = queue.get()
                assert number == seen[pid] + 1 and len(data) == size, (pid, number, seen, len(data))
                seen[pid] = number

            for _ in range(random.randrange(20, 60)):
                take()
            for writer in writers:
                die_by(writer)
            while not queue.empty():
                take()
            queue.put((0, 0, b"x" * size))
            seen[0] = -1
            take()


@situation
def readers_killed_at_random(ctx):
    """The items that they did not take are there for others."""
    queue = ctx.Queue()
    for _ in range(10):
        ready = ctx.Event()
        readers = [ctx.Process(target=get_for_ever, args=(queue, ready)) for _ in range(2)]
        for reader in readers:
            reader.start()
        for n in range(50):
            queue.put(n)
        assert ready.wait(LIMIT_S)
        for reader in readers:
            die_by(reader)
        queue.put("last")
        item = queue.get(timeout=LIMIT_S)
        while item != "last":
            item = queue.get(timeout=LIMIT_S)
        assert queue.empty() and queue.qsize() == 0


@situation
def a_full_queue_whose_reader_dies(ctx):
    """Its writer waits no longer than its limit, and goes on when there is room."""
    queue, ready = ctx.Queue(2), ctx.Event()
    reader = ctx.Process(target=get_for_ever, args=(queue, ready))
    reader.start()
    queue.put(1)
    assert ready.wait(LIMIT_S)
    die_by(reader)
    while not queue.full():
        queue.put(2)
    assert isinstance(failure(queue.put, 3, timeout=0.1), plain_queue.Full)
    queue.get(timeout=LIMIT_S)
    queue.put(4, timeout=LIMIT_S)


def hold(thing, ready):
    """Acquires and keeps."""
    thing.acquire()
    ready.set()
    time.sleep(3600)


def wait_for(thing, ready):
    """Waits in a condition, barrier or event for ever."""
    if hasattr(thing, "notify"):
        with thing:
            ready.set()
            thing.wait()
    else:
        ready.set()
        thing.wait()


@situation
def holders_killed(ctx):
    """Locks and permits come back, with a warning that says so."""
    for make in (ctx.Lock, ctx.RLock, lambda: ctx.Semaphore(1), lambda: ctx.BoundedSemaphore(1), ctx.Condition):
        thing, ready = make(), ctx.Event()
        holder = ctx.Process(target=hold, args=(thing, ready))
        holder.start()
        assert ready.wait(LIMIT_S)
        threading.Timer(0.1, holder.kill).start()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert thing.acquire(timeout=LIMIT_S), thing
        thing.release()
        holder.join(LIMIT_S)


@situation
def waiters_killed(ctx):
    """Who is dead is not woken instead of the living, nor counted."""
    condition, ready = ctx.Condition(), ctx.Event()
    waiter = ctx.Process(target=wait_for, args=(condition, ready))
    waiter.start()
    assert ready.wait(LIMIT_S)
    with condition:
        pass  # it waits: the lock is free
    die_by(waiter)
    woken = []

    def living():
        with condition:
            woken.append(condition.wait(LIMIT_S))

    thread = threading.Thread(target=living)
    thread.start()
    deadline = time.monotonic() + LIMIT_S
    while not woken and time.monotonic() < deadline:
        with condition:
            condition.notify()
        time.sleep(0.01)
    thread.join(LIMIT_S)
    assert woken == [True], woken

    barrier, ready = ctx.Barrier(2), ctx.Event()
    waiter = ctx.Process(target=wait_for, args=(barrier, ready))
    waiter.start()
    assert ready.wait(LIMIT_S)
    die_by(waiter)
    error = failure(barrier.wait, 0.5)
    assert isinstance(error, threading.BrokenBarrierError), error
    barrier.reset()

    event, ready = ctx.Event(), ctx.Event()
    waiter = ctx.Process(target=wait_for, args=(event, ready))
    waiter.start()
    assert ready.wait(LIMIT_S)
    die_by(waiter)
    event.set()
    assert event.wait(LIMIT_S)


def fight(lock, counter, stop):
    """Counts under a lock until told to stop."""
    warnings.simplefilter("ignore")
    while not stop.is_set():
        with lock:
            counter.value += 1


@situation
def a_lock_under_fire(ctx):
    """Owners are killed at random while others acquire; it is free in the end."""
    lock, counter, stop = ctx.Lock(), ctx.RawValue("q", 0), ctx.Event()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(8):
            fighters = [ctx.Process(target=fight, args=(lock, counter, stop)) for _ in range(3)]
            for fighter in fighters:
                fighter.start()
            before, deadline = counter.value, time.monotonic() + LIMIT_S
            while counter.value < before + 1000 and time.monotonic() < deadline:
                assert lock.acquire(timeout=LIMIT_S)
                lock.release()
            for fighter in fighters:
                die_by(fighter)
        assert lock.acquire(timeout=LIMIT_S)
    lock.release()


def send_half(connection):
    """Sends a message that is cut off by its end."""
    connection.send_bytes(b"whole")
    os.write(connection.fileno(), b"\x00\x00\x01\x00half")
    os.kill(os.getpid(), signal.SIGKILL)


@situation
def a_pipe_cut_in_the_middle_of_a_message(ctx):
    """What is whole arrives; the rest is EOFError or OSError, not a hang."""
    ours, theirs = ctx.Pipe()
    child = ctx.Process(target=send_half, args=(theirs,))
    child.start()
    theirs.close()
    assert ours.recv_bytes() == b"whole"
    assert ours.poll(LIMIT_S)
    assert isinstance(failure(ours.recv_bytes), EOFError | OSError)
    child.join(LIMIT_S)


@situation
def a_killed_manager(ctx):
    """Its proxies raise, and a new manager works."""
    manager = ctx.Manager()
    shared = manager.dict(a=1)
    assert shared["a"] == 1
    os.kill(manager._process.pid, signal.SIGKILL)
    error = failure(lambda: shared["a"])
    assert isinstance(error, EOFError | OSError), error
    manager.shutdown()
    with ctx.Manager() as another:
        assert another.list([1, 2])[1] == 2


def use_manager(shared, lock, ready):
    """Holds a manager's lock until it is killed."""
    lock.acquire()
    shared.append(os.getpid())
    ready.set()
    time.sleep(3600)


@situation
def a_client_of_a_manager_killed(ctx):
    """The manager serves the others."""
    with ctx.Manager() as manager:
        shared, lock, ready = manager.list(), manager.Lock(), ctx.Event()
        child = ctx.Process(target=use_manager, args=(shared, lock, ready))
        child.start()
        assert ready.wait(LIMIT_S)
        die_by(child)
        shared.append("parent")
        assert len(shared) == 2


def attach_and_die(name):
    """Opens a segment and is killed."""
    from procession.shared_memory import SharedMemory

    segment = SharedMemory(name)
    segment.buf[0] = 7
    os.kill(os.getpid(), signal.SIGKILL)


@situation
def a_user_of_a_segment_killed(ctx):
    """The segment is its owner's to unlink."""
    from procession.shared_memory import SharedMemory

    segment = SharedMemory(create=True, size=100)
    try:
        child = ctx.Process(target=attach_and_die, args=(segment.name,))
        child.start()
        child.join(LIMIT_S)
        assert segment.buf[0] == 7
        again = SharedMemory(segment.name)
        again.close()
    finally:
        segment.close()
        segment.unlink()


@situation
def things_closed_twice_or_used_closed(ctx):
    """A clear ValueError or OSError, and no crash."""
    queue = ctx.Queue()
    queue.put(1)
    queue.close()
    queue.close()
    assert isinstance(failure(queue.put, 2), ValueError)
    assert isinstance(failure(queue.get), ValueError | OSError)
    queue.join_thread()
    one, other = ctx.Pipe()
    one.close()
    one.close()
    assert isinstance(failure(one.send, 1), OSError)
    assert isinstance(failure(other.recv), EOFError | OSError)
    other.close()
    pool = ctx.Pool(1)
    pool.close()
    assert isinstance(failure(pool.apply, abs, (1,)), ValueError)
    assert isinstance(failure(pool.map, abs, [1]), ValueError)
    pool.join()
    pool.terminate()
    pool.join()
    process = ctx.Process(target=abs, args=(1,))
    process.start()
    process.join(LIMIT_S)
    process.close()
    process.close()
    assert isinstance(failure(process.join), ValueError)


@situation
def nonsense_as_arguments(ctx):
    """Each is refused where it is given, with a standard exception."""
    for wrong in (0, -1):
        assert isinstance(failure(ctx.Pool, wrong), ValueError), wrong
    for wrong in ("4", 2.5, [1]):
        assert isinstance(failure(ctx.Pool, wrong), TypeError | ValueError), wrong
    assert isinstance(failure(ctx.Pool, 1, initializer=5), TypeError)
    for wrong in (0, -3, "1"):
        assert isinstance(failure(ctx.Pool, 1, maxtasksperchild=wrong), ValueError | TypeError), wrong
    with ctx.Pool(1) as pool:
        for wrong in (0, -1, "3"):
            assert isinstance(failure(pool.map, abs, [1], wrong), ValueError | TypeError), wrong
            assert isinstance(failure(lambda: list(pool.imap(abs, [1], wrong))), ValueError | TypeError)  # noqa: B023
        assert isinstance(failure(pool.map, abs, 5), TypeError)
        assert isinstance(failure(pool.map, 5, [1]), TypeError)
        assert isinstance(failure(pool.starmap, abs, [5]), TypeError)
    assert isinstance(failure(ctx.Semaphore, -1), ValueError)
    assert isinstance(failure(ctx.Barrier, 0), ValueError)
    bounded = ctx.BoundedSemaphore(1)
    assert isinstance(failure(bounded.release), ValueError)
    assert isinstance(failure(ctx.Lock().release), ValueError)
    assert isinstance(failure(ctx.RLock().release), AssertionError | RuntimeError)
    assert isinstance(failure(ctx.Value, "not a type", 1), TypeError | ValueError | AttributeError)
    assert isinstance(failure(procession.get_context, "nonsense"), ValueError)
    process = ctx.Process(target=abs)
    assert isinstance(failure(process.join), AssertionError)
