"""Uses every kind of object once, by the start method that its argument names."""

import ctypes
import os
import signal
import socket
import sys
import time

import procession
from procession import resource_sharer, shared_memory


def square(x):
    return x * x


def add_one(lock, value, array, queue, simple, joinable, event, semaphore, barrier, condition):
    with lock, semaphore:
        value.value += 1
        array[0] += 1
    queue.put("queue")
    simple.put("simple")
    joinable.put("joinable")
    with condition:
        condition.notify_all()
    event.set()
    barrier.wait(30)


def answer(connection, memory, listed):
    memory.buf[0] = 7
    listed[0] = 8
    connection.send(connection.recv() + 1)
    connection.send(connection.recv().fileno() >= 0)


def fail(status):
    os._exit(status)


def stay():
    time.sleep(60)


def locks_and_queues(ctx):
    parts = (
        ctx.Lock(), ctx.Value("i", 1), ctx.Array("d", 2), ctx.Queue(), ctx.SimpleQueue(), ctx.JoinableQueue(),
        ctx.Event(), ctx.Semaphore(), ctx.Barrier(2), ctx.Condition(),
    )  # fmt: skip
    _, value, array, queue, simple, joinable, event, _, barrier, _ = parts
    child = ctx.Process(target=add_one, args=parts)
    child.start()
    assert event.wait(30)
    barrier.wait(30)
    assert (queue.get(timeout=30), simple.get(), joinable.get(timeout=30)) == ("queue", "simple", "joinable")
    joinable.task_done()
    joinable.join()
    child.join(30)
    assert (child.exitcode, value.value, array[0]) == (0, 2, 1.0)


def pipes_and_memory(ctx):
    memory = shared_memory.SharedMemory(create=True, size=100)
    listed = shared_memory.ShareableList([1, "text"])
    raw = ctx.RawArray(ctypes.c_byte, 10)
    assert len(raw) == 10
    try:
        here, there = ctx.Pipe()
        child = ctx.Process(target=answer, args=(there, memory, listed))
        child.start()
        here.send(1)
        assert here.recv() == 2
        ours, theirs = socket.socketpair()
        here.send(ours)  # a descriptor on its way
        assert here.recv()
        ours.close()
        theirs.close()
        child.join(30)
        resource_sharer.stop()  # no thread stays beside the forks to come
        assert (child.exitcode, memory.buf[0], listed[0]) == (0, 7, 8)
    finally:
        for named in (memory, listed.shm):
            named.close()
            named.unlink()


def ends(ctx):
    child = ctx.Process(target=fail, args=(3,))
    child.start()
    child.join(30)
    assert child.exitcode == 3
    child = ctx.Process(target=stay)
    child.start()
    child.terminate()
    child.join(30)
    assert child.exitcode == -signal.SIGTERM
    child = ctx.Process(target=stay)
    child.start()
    child.kill()
    assert procession.connection.wait([child.sentinel], 30) and child.exitcode == -signal.SIGKILL


def pools(ctx):
    lines = []
    with ctx.Pool(2, capture_output=lines.append) as pool:
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        assert list(pool.imap_unordered(square, [3])) == [9]
        pool.apply(print, ("written",))
        try:
            pool.apply(fail, (4,))
            raise AssertionError("a dead worker is no result")
        except procession.WorkerDied:
            pass
        try:
            pool.apply_async(stay, timeout=0.2).get(30)
            raise AssertionError("a late task is no result")
        except procession.TaskTimeout:
            pass
        assert "worker" in pool.dump_stacks()
    assert [line.text for line in lines] == ["written"], lines
    with procession.futures.ProcessPoolExecutor(2, mp_context=ctx) as executor:
        assert executor.submit(square, 5).result(30) == 25
    with ctx.Manager() as manager:
        shared = manager.dict()
        with ctx.Pool(1) as pool:
            pool.apply(shared.update, ({"key": 1},))
        assert dict(shared) == {"key": 1}


def main(method):
    assert not hasattr(os, "pidfd_open") and not hasattr(os, "memfd_create")
    ctx = procession.get_context(method)
    assert procession.cpu_count() >= 1
    locks_and_queues(ctx)
    pipes_and_memory(ctx)
    ends(ctx)
    pools(ctx)
    print("all work")


if __name__ == "__main__":
    main(sys.argv[1])
