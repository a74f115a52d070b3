"""Two processes that wake each other by events."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Event` ping-pong", "us", higher_is_better=False, aim=Times(1))


def answer(asked, answered, count):
    """Answers so many times."""
    for _ in range(count):
        asked.wait()
        asked.clear()
        answered.set()


def ask(asked, answered, count):
    """Asks so many times, each after the answer to the one before."""
    for _ in range(count):
        asked.set()
        answered.wait()
        answered.clear()


def measure(library):
    """Microseconds a round trip takes."""
    count = library.count(3_000)
    events = [library.context.Event() for _ in range(2)]
    child = library.context.Process(target=answer, args=(*events, count + 1))
    child.start()
    ask(*events, 1)
    took = seconds(ask, *events, count)
    child.join()
    return took / count * 1e6


if __name__ == "__main__":
    main(ROW, measure)
