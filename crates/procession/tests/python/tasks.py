"""What the workers of Python pools call in the tests of the crate."""

import os
import signal

import numpy
import procession
from procession import neutral


def dispatch(order):
    """Call the function that the first of a tuple names with the others."""
    name, *rest = order
    return globals()[name](*rest)


def echo(value):
    return value


def kind(value):
    return type(value).__name__, repr(value)


def scaled(array, factor):
    return array * factor


def turned(array):
    return numpy.asfortranarray(array)


def fail(text):
    raise ValueError(text)


def unsendable():
    return object()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def environment():
    return sorted(name for name in os.environ if name.startswith("PROCESSION"))


def take_part(shared):
    """Add to the numbers under their lock, and say so by all that was shared."""
    queue, lock, numbers, event, semaphore = (shared[n] for n in ("queue", "lock", "numbers", "event", "semaphore"))
    with lock, numbers:
        whole = numpy.asarray(numbers)
        whole += 1.5
    assert semaphore.acquire(block=False)
    queue.put({"sum": float(whole.sum()), "array": whole.copy()})
    event.set()
    return shared["replies"].get(timeout=60)


def hold(lock):
    lock.acquire()
    die()


def hold_slice(numbers):
    numbers.lock.acquire()
    numbers[0] = 7
    die()


def make():
    queue, numbers = neutral.Queue(), neutral.SharedSlice("i", [1, -2])
    queue.put(["made", None])
    return queue, numbers


def state_of(entropy, key, count):
    """Return the words that numpy makes of a seed."""
    return numpy.random.SeedSequence(list(entropy), spawn_key=tuple(key)).generate_state(count).tolist()


def draw(times):
    """Return the place of the task, and what its two generators give; they go on from call to call."""
    numbers = [int(procession.current_task().rng.integers(2**63)) for _ in range(times)]
    return procession.current_task().index, numbers, procession.current_task().random.getrandbits(63)
