"""A listener and its client, and the wait for several connections at a time."""

import array
import sys
from multiprocessing import Pipe, Process, current_process, set_start_method
from multiprocessing.connection import Client, Listener, wait


def call(address):
    with Client(address, authkey=b"secret password") as connection:
        print(connection.recv(), flush=True)
        print(connection.recv_bytes(), flush=True)
        buffer = array.array("i", [0, 0, 0, 0, 0])
        print(connection.recv_bytes_into(buffer), buffer.tolist(), flush=True)


def tell(writer):
    for i in range(3):
        writer.send((i, current_process().name))
    writer.close()


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    with Listener(("localhost", 0), authkey=b"secret password") as listener:
        p = Process(target=call, args=(listener.address,))
        p.start()
        with listener.accept() as connection:
            connection.send([2.25, None, "junk", float])
            connection.send_bytes(b"hello")
            connection.send_bytes(array.array("i", [42, 1729]))
        p.join()

    readers, received = [], []
    for number in range(3):
        reader, writer = Pipe(duplex=False)
        readers.append(reader)
        p = Process(target=tell, args=(writer,), name=f"teller {number}")
        p.start()
        writer.close()  # the reader learns of the end only when nobody can write
    while readers:
        for reader in wait(readers):
            try:
                received.append(reader.recv())
            except EOFError:
                readers.remove(reader)
    print(sorted(received) == [(i, f"teller {number}") for i in range(3) for number in range(3)])

# prints:
# [2.25, None, 'junk', <class 'float'>]
# b'hello'
# 8 [42, 1729, 0, 0, 0]
# True
