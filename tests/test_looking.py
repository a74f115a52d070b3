"""Who only looks whether something is there keeps the interpreter: no other thread runs between two looks."""

import gc
import sys
import threading
import time

import pytest
from procession import connection

LIMIT_S = 60
LOOKS = 10_000  # of which one in some thirty let the other thread in
PATIENCE_S = 3600


@pytest.fixture
def turns():
    """How often another thread, which never asks for the interpreter but takes it where it is given up, has had it."""
    count, ends, before = [0], threading.Event(), sys.getswitchinterval()

    def take_turns():
        while not ends.is_set():
            count[0] += 1
            time.sleep(0)

    thread = threading.Thread(target=take_turns, daemon=True)
    thread.start()
    while not count[0]:
        time.sleep(0.001)
    sys.setswitchinterval(PATIENCE_S)
    # One that began to wait before has asked for the interpreter after the old interval.
    waits_anew = count[0] + 2
    while count[0] < waits_anew:
        time.sleep(0.001)
    gc.collect()
    gc.disable()  # what others left may give the interpreter up when it is collected
    yield count
    gc.enable()
    sys.setswitchinterval(before)
    ends.set()
    thread.join(LIMIT_S)


def turns_during(look, turns):
    before = turns[0]
    for _ in range(LOOKS):
        look()
    return turns[0] - before


@pytest.mark.filterwarnings("ignore::procession.ForkBesideThreads")
def test_looking_whether_a_process_lives_keeps_the_interpreter(context, turns):
    process = context.Process(target=time.sleep, args=(LIMIT_S,))
    process.start()
    try:
        assert turns_during(process.is_alive, turns) == 0
        assert turns_during(lambda: process.exitcode, turns) == 0
        assert turns_during(lambda: process.join(0), turns) == 0
    finally:
        process.kill()
        process.join()


def test_looking_whether_messages_are_there_keeps_the_interpreter(context, turns):
    reader, writer = context.Pipe(duplex=False)
    with reader, writer:
        assert turns_during(reader.poll, turns) == 0
        assert turns_during(lambda: connection.wait([reader], 0), turns) == 0
        writer.send("message")
        assert reader.poll() and connection.wait([reader], 0) == [reader]


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Event", "Condition"])
def test_trying_a_lock_keeps_the_interpreter(context, kind, turns):
    lock = getattr(context, kind)()
    look = lock.is_set if kind == "Event" else lambda: lock.acquire(False)
    assert turns_during(look, turns) == 0


def test_the_thread_of_this_test_takes_what_is_given_up(turns):
    assert turns_during(lambda: time.sleep(0), turns) > 0
