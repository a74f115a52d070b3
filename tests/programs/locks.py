"""A lock for the terminal, an event, a semaphore, a barrier and a condition between several processes."""

import sys
from multiprocessing import Barrier, Condition, Event, Lock, Process, Semaphore, Value, set_start_method


def tell(lock, number):
    with lock:
        print("hello world", number, flush=True)


def pass_gate(event, permits, barrier, inside, most):
    event.wait()
    with permits:
        with inside.get_lock():
            inside.value += 1
            most.value = max(most.value, inside.value)
        with inside.get_lock():
            inside.value -= 1
    barrier.wait()


def count_up(condition, number):
    with condition:
        number.value += 1
        condition.notify_all()


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    lock = Lock()
    children = [Process(target=tell, args=(lock, number)) for number in range(4)]
    event, permits, barrier, inside, most = Event(), Semaphore(2), Barrier(4), Value("i", 0), Value("i", 0)
    children += [Process(target=pass_gate, args=(event, permits, barrier, inside, most)) for _ in range(3)]
    condition, number = Condition(), Value("i", 0, lock=False)
    children += [Process(target=count_up, args=(condition, number)) for _ in range(3)]
    for child in children:
        child.start()
    event.set()
    barrier.wait()
    with condition:
        print("three", condition.wait_for(lambda: number.value == 3, 60))
    for child in children:
        child.join()
    print("at most two", 1 <= most.value <= 2, [child.exitcode for child in children] == [0] * 10)

# prints, in any order:
# hello world 0
# hello world 1
# hello world 2
# hello world 3
# three True
# at most two True True
