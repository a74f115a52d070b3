"""Workers that take tasks from one queue and put results into another, until told to stop; a joinable queue."""

import sys
from multiprocessing import JoinableQueue, Process, Queue, current_process, set_start_method


def work(tasks, results):
    for function, arguments in iter(tasks.get, "STOP"):
        value = function(*arguments)
        results.put(f"{current_process().name[:6]} says that {function.__name__}{arguments} = {value}")


def multiply(a, b):
    return a * b


def plus(a, b):
    return a + b


def drain(queue, done):
    while (item := queue.get()) is not None:
        done.put(item)
        queue.task_done()
    queue.task_done()


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    tasks, results = Queue(), Queue()
    for i in range(4):
        tasks.put((multiply, (i, 7)))
    children = [Process(target=work, args=(tasks, results), name=f"worker{i}") for i in range(2)]
    for child in children:
        child.start()
    for i in range(3):
        tasks.put((plus, (i, 8)))
    for _ in range(7):
        print(results.get())
    for _ in children:
        tasks.put("STOP")
    for child in children:
        child.join()

    queue, done = JoinableQueue(), Queue()
    child = Process(target=drain, args=(queue, done))
    child.start()
    for item in [*range(5), None]:
        queue.put(item)
    queue.join()
    child.join()
    print("done", [done.get() for _ in range(5)])

# prints, in any order:
# worker says that multiply(0, 7) = 0
# worker says that multiply(1, 7) = 7
# worker says that multiply(2, 7) = 14
# worker says that multiply(3, 7) = 21
# worker says that plus(0, 8) = 8
# worker says that plus(1, 8) = 9
# worker says that plus(2, 8) = 10
# done [0, 1, 2, 3, 4]
