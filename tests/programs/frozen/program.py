"""A program to be frozen: it uses what starts processes, by the start method that the environment names."""

import os
import sys

import procession as multiprocessing
from procession import resource_tracker, shared_memory


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


def mirror(point):
    return Point(point.y, point.x)


def put(queue, name):
    memory = shared_memory.SharedMemory(name)
    memory.buf[0] = 7
    memory.close()
    queue.put(os.getpid())


def main(method):
    context = multiprocessing.get_context(method)
    memory = shared_memory.SharedMemory(create=True, size=16)
    queue = context.Queue()
    process = context.Process(target=put, args=(queue, memory.name))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit("the process failed")
    print("process", process.exitcode, queue.get() == process.pid, memory.buf[0])
    memory.close()
    memory.unlink()
    with context.Pool(2) as pool:
        print("pool", [(point.x, point.y) for point in pool.map(mirror, [Point(1, 2), Point(3, 4)])])
        print("lambda", pool.map(lambda number: number * 2, [1, 2]))
    with context.Manager() as manager:
        names = manager.list(["manager"])
        names.append("list")
        print(*names)
    print("arguments", sys.argv[1:])
    tracker = resource_tracker._resource_tracker._pid
    print("helper", tracker)


if __name__ == "__main__":
    if "FORGETS" not in os.environ:
        multiprocessing.freeze_support()
    main(os.environ["METHOD"])
