"""A small message there and back."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Pipe` ping-pong", "us", higher_is_better=False, aim=Times(5.4))


def echo(connection):
    """Sends back what comes, until None comes."""
    while (message := connection.recv()) is not None:
        connection.send(message)


def ask(connection, count):
    """Sends so many messages, each after the answer to the one before."""
    for number in range(count):
        connection.send(number)
        connection.recv()


def measure(library):
    """Microseconds a round trip takes."""
    count = library.count(10_000)
    ours, theirs = library.context.Pipe()
    child = library.context.Process(target=echo, args=(theirs,))
    child.start()
    ask(ours, count // 10)
    took = seconds(ask, ours, count)
    ours.send(None)
    child.join()
    return took / count * 1e6


if __name__ == "__main__":
    main(ROW, measure)
