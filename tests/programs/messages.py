"""What connections carry: objects, bytes, bytes into a buffer."""

import array
import sys
from multiprocessing import Pipe, Process, set_start_method


def answer(connection):
    connection.send([1, "hello", None])
    connection.send_bytes(b"thank you")
    connection.send_bytes(array.array("i", range(5)))
    print(connection.recv(), flush=True)


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    a, b = Pipe()
    p = Process(target=answer, args=(b,))
    p.start()
    b.close()
    print(a.recv())
    print(a.recv_bytes())
    buffer = array.array("i", [0] * 10)
    print(a.poll(10), a.recv_bytes_into(buffer) == 5 * buffer.itemsize, buffer.tolist())
    a.send("bye")
    p.join()
    try:
        a.recv()
    except EOFError:
        print("closed")

# prints:
# [1, 'hello', None]
# b'thank you'
# True True [0, 1, 2, 3, 4, 0, 0, 0, 0, 0]
# bye
# closed
