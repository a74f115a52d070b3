"""Children that limit their own address space, as sandboxes of tasks do, beside queues with more in them than fits."""

import resource
import sys

import procession

LIMIT = 1 << 30
MESSAGES, SIZE = 90, 1_000_000


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))


def take(queues):
    limit()
    memory = bytearray(400_000_000)
    for queue in queues:
        queue.put(len(memory))


def use(size):
    return len(bytearray(size))


def pass_on(arriving, leaving, more):
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))
    for _ in range(MESSAGES):
        leaving.put(arriving.get())


if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    queues = [context.Queue(), context.SimpleQueue(), context.JoinableQueue()]
    child = context.Process(target=take, args=(queues,))
    child.start()
    child.join(60)
    print(child.exitcode, *([queue.get() for queue in queues] if child.exitcode == 0 else []))
    with context.Pool(1, limit) as pool:
        print(pool.apply(use, (400_000_000,)))
    arriving, leaving = context.Queue(), context.Queue()
    for i in range(MESSAGES):
        arriving.put(bytes([i]) * SIZE)
    child = context.Process(target=pass_on, args=(arriving, leaving, 16 << 20))
    child.start()
    child.join(60)
    print(child.exitcode, all(leaving.get(timeout=1) == bytes([i]) * SIZE for i in range(MESSAGES)))
