"""A manager that serves an object at an address, and processes that use it without being related to the server."""

import queue
import sys
from multiprocessing import Process, set_start_method
from multiprocessing.managers import BaseManager

shared = queue.Queue()


def get_shared():
    return shared


class Serving(BaseManager):
    pass


class Using(BaseManager):
    pass


Serving.register("get_queue", callable=get_shared)
Using.register("get_queue")


def send(address):
    manager = Using(address=address, authkey=b"abracadabra")
    manager.connect()
    manager.get_queue().put("hello")


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    with Serving(address=("127.0.0.1", 0), authkey=b"abracadabra") as server:
        p = Process(target=send, args=(server.address,))
        p.start()
        p.join()
        reader = Using(address=server.address, authkey=b"abracadabra")
        reader.connect()
        print(reader.get_queue().get())

# prints:
# hello
