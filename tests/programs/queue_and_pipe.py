"""A queue and a pipe between a parent and a child, by the default context and by one that was asked for."""

import sys
from multiprocessing import Pipe, Process, Queue, get_context, set_start_method


def put(queue):
    queue.put([42, None, "hello"])


def send(connection):
    connection.send([42, None, "hello"])
    connection.close()


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    queue = Queue()
    p = Process(target=put, args=(queue,))
    p.start()
    print(queue.get())
    p.join()

    ours, theirs = Pipe()
    p = Process(target=send, args=(theirs,))
    p.start()
    print(ours.recv())
    p.join()

    context = get_context(sys.argv[1])
    queue = context.Queue()
    p = context.Process(target=put, args=(queue,))
    p.start()
    print(queue.get())
    p.join()

# prints:
# [42, None, 'hello']
# [42, None, 'hello']
# [42, None, 'hello']
