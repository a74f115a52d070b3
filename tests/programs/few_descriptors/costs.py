"""Prints what each kind of object costs the process that makes it: descriptors, address space in KiB, threads."""

import gc
import os
import resource
import sys

import procession
from procession import connection, shared_memory

COUNT = 4


def held():
    """Return how much of each kind this process has now."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    descriptors, threads = os.listdir("/proc/self/fd"), os.listdir("/proc/self/task")
    return len(descriptors), pages * resource.getpagesize() // 1024, len(threads)


def cost(make, end):
    """Return what one more object costs, of each kind, and how many descriptors are left of several."""
    first = [make()]  # with it come what all have in common, and the memory that the allocator takes
    before = held()
    more = [make() for _ in range(COUNT)]
    during = held()
    while more:
        end(more.pop())
    gc.collect()
    after = held()
    end(first.pop())
    return [(b - a) / COUNT for a, b in zip(before, during, strict=True)], after[0] - before[0]


def stay(event):
    event.wait()


def nothing(_):
    pass


def kinds(ctx):
    """Yield a name, how to make one, how to end it."""
    event = ctx.Event()

    def start():
        child = ctx.Process(target=stay, args=(event,))
        child.start()
        return child

    def stop(child):
        child.kill()
        child.join()
        child.close()

    def pool_of(workers):
        def make():
            pool = ctx.Pool(workers)
            assert pool.map(abs, range(-8, 0)) == list(range(8, 0, -1))
            return pool

        return make

    def end_pool(pool):
        pool.terminate()
        pool.join()

    def close(thing):
        thing.close()

    yield "Process", start, stop
    yield "Pool(1)", pool_of(1), end_pool
    yield "Pool(2)", pool_of(2), end_pool
    for name in ("Queue", "JoinableQueue", "SimpleQueue"):
        yield name, getattr(ctx, name), close
    for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Condition"):
        yield name, getattr(ctx, name), nothing
    yield "Barrier", lambda: ctx.Barrier(2), nothing
    yield "Value", lambda: ctx.Value("i"), nothing
    yield "RawArray", lambda: ctx.RawArray("d", 100), nothing
    yield "Pipe", ctx.Pipe, lambda ends: [end.close() for end in ends]
    yield "Listener", connection.Listener, close
    yield (
        "SharedMemory",
        lambda: shared_memory.SharedMemory(create=True, size=100),
        lambda memory: (memory.close(), memory.unlink()),
    )
    yield "Manager", ctx.Manager, lambda manager: manager.shutdown()
    with ctx.Manager() as manager:
        yield "proxy", manager.list, nothing


def main(method):
    ctx = procession.get_context(method)
    for name, make, end in kinds(ctx):
        (descriptors, address_space, threads), left = cost(make, end)
        print(f"{name}: {descriptors:g} {address_space:g} {threads:g} {left}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
