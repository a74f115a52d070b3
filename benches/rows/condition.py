"""Two processes that take turns by a condition."""

from benches.aims import Times
from benches.workload import Workload, main, seconds

ROW = Workload("`Condition` ping-pong", "us", higher_is_better=False, aim=Times(1))


def take_turns(condition, turn, mine, count):
    """Waits for its turn and passes it on, so many times."""
    for _ in range(count):
        with condition:
            while turn.value != mine:
                condition.wait()
            turn.value = 1 - mine
            condition.notify()


def measure(library):
    """Microseconds until it is the same process's turn again."""
    count = library.count(3_000)
    condition, turn = library.context.Condition(), library.context.RawValue("i", 0)
    child = library.context.Process(target=take_turns, args=(condition, turn, 1, count + 1))
    child.start()
    take_turns(condition, turn, 0, 1)
    took = seconds(take_turns, condition, turn, 0, count)
    child.join()
    return took / count * 1e6


if __name__ == "__main__":
    main(ROW, measure)
