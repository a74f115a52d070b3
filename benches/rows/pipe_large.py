"""Large messages through a pipe, one way."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Pipe`, messages of 1 MiB", "MB/s", aim=Times(3))

SIZE = 1 << 20


def send_all(connection, count):
    """Sends so many messages."""
    message = bytes(SIZE)
    for _ in range(count):
        connection.send(message)


def receive_all(connection, count):
    """Receives so many messages."""
    for _ in range(count):
        connection.recv()


def measure(library):
    """Megabytes a second, from the first message that arrives."""
    count = library.count(1_000)
    ours, theirs = library.context.Pipe(duplex=False)
    child = library.context.Process(target=send_all, args=(theirs, count + 1))
    child.start()
    ours.recv()
    took = seconds(receive_all, ours, count)
    child.join()
    return count * SIZE / took / 1e6


if __name__ == "__main__":
    main(ROW, measure)
