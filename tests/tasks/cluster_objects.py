"""What processes on the nodes of a cluster do with the objects that they share."""

import os
import signal
import time

import procession

LIMIT_S = 60

_kept: list = []


class Point:
    def __init__(self, x):
        self.x = x


def keep(*shared):
    _kept[:] = shared


def meet(_):
    queue, barrier = _kept
    barrier.wait(LIMIT_S)
    queue.put(os.getpid())
    return os.getpid()


def count(lock, value, array):
    with lock:
        array[1] += 1
    with value.get_lock():
        value.value += 1
    with array:
        array[0] += 1


def await_event(event):
    return event.wait(LIMIT_S)


def wait_for(condition, event, value, wanted):
    with condition:
        event.set()
        return condition.wait_for(lambda: value.value == wanted, LIMIT_S)


def put_all(queues, values):
    for value in values:
        for queue in queues:
            queue.put(value)


def done(queue, count):
    for _ in range(count):
        queue.task_done()
    return queue.qsize()


def take(semaphore):
    assert semaphore.acquire(timeout=LIMIT_S) and semaphore.acquire(False)
    return semaphore.get_value()


def note(found, rows, point):
    found[point.x] = point
    rows.append(point.x)


def take_and_die(taken):
    if hasattr(taken, "acquire"):
        assert taken.acquire(timeout=LIMIT_S)
    os.kill(os.getpid(), signal.SIGKILL)


def talk(connection):
    with connection:
        connection.send([1, [2]])
        connection.send_bytes(b"bytes")
        return connection.recv().x


def say(text):
    print(text, "of", procession.current_process().name)


def fail():
    raise ValueError("on a node")


def put_and_sleep(queue, event):
    queue.put(os.getpid())
    event.set()
    time.sleep(600)


def own_class(base):
    class Own(base):
        def __init__(self, queue, event, **settings):
            super().__init__(name="Own", **settings)
            self.queue, self.event = queue, event

        def run(self):
            self.event.wait(LIMIT_S)
            self.queue.put((self.name, procession.current_process() is self, os.environ["OF_THE_TEST"]))

    return Own


def hold(lock, event, connection):
    with lock, connection:
        event.set()
        time.sleep(600)
