"""Queues between processes, and processes that end in the middle of using them."""

import os
import pickle
import queue
import signal
import threading
import time

import procession
import pytest
from tasks.children import join, start

LIMIT = 60
MIB = 1 << 20


OBJECTS = [
    None, True, False, 0, -1, 1 << 62, 1 << 70, 1.5, float("inf"), "", "gr\u00fc\u00df", "\ud800", b"", b"x" * MIB,
    (1, "a"), [1, [2]], {"k": {1}}, bytearray(b"ab"),
]  # fmt: skip


def echo(incoming, outgoing, count):
    for _ in range(count):
        outgoing.put(incoming.get(timeout=LIMIT))


def test_objects_come_back_equal_and_of_their_type(context):
    there, back = context.Queue(), context.Queue()
    child = start(context, echo, there, back, len(OBJECTS))
    for obj in OBJECTS:
        there.put(obj)
    for obj in OBJECTS:
        answer = back.get(timeout=LIMIT)
        assert answer == obj and type(answer) is type(obj)
    join(child)


def put_much(q):
    for _ in range(10):
        q.put(b"x" * MIB)


def test_a_child_that_put_much_ends_before_anyone_reads(context):
    q = context.Queue()
    child = start(context, put_much, q)
    join(child)
    assert q.qsize() == 10
    assert all(len(q.get(timeout=LIMIT)) == MIB for _ in range(10))
    assert q.empty()


def test_what_cannot_be_pickled_is_raised_by_put():
    q = procession.Queue()
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
        q.put(threading.Lock())
    assert q.empty()


def test_a_full_queue_and_an_empty_one_say_so():
    q = procession.Queue(2)
    with pytest.raises(queue.Empty):
        q.get(False)
    with pytest.raises(queue.Empty):
        q.get(timeout=0.01)
    q.put(1)
    q.put_nowait(2)
    assert q.full() and q.qsize() == 2
    with pytest.raises(queue.Full):
        q.put_nowait(3)
    with pytest.raises(queue.Full):
        q.put(3, timeout=0.01)
    assert [q.get(), q.get_nowait()] == [1, 2]


def test_a_closed_queue_says_so():
    q = procession.Queue()
    q.close()
    with pytest.raises(ValueError, match="is closed"):
        q.put(1)
    with pytest.raises(ValueError, match="is closed"):
        q.get()
    q.join_thread()


def put_for_ever(q):
    while True:
        q.put(b"y" * 100_000)


def get_for_ever(q):
    while True:
        q.get()


@pytest.mark.parametrize("moment", range(8))
def test_killed_users_leave_the_queue_in_order(moment):
    context = procession.get_context("fork")
    q = context.Queue(20)
    children = [start(context, put_for_ever, q), start(context, get_for_ever, q)]
    # Different moments, none of them better than another.
    time.sleep(0.003 * moment + 0.01)
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    for child in children:
        child.join(LIMIT)
    while True:
        try:
            assert q.get(timeout=0.2) == b"y" * 100_000
        except queue.Empty:
            break
    for i in range(20):
        q.put(i, timeout=LIMIT)
    assert [q.get(timeout=LIMIT) for _ in range(20)] == list(range(20))


def put_for_ever_simply(q, size):
    while True:
        q.put(b"y" * size)


def get_for_ever_simply(q):
    while True:
        q.get()


@pytest.mark.parametrize("moment", range(8))
@pytest.mark.parametrize("size", [3, 100_000])
def test_killed_users_leave_a_simple_queue_in_order(moment, size):
    context = procession.get_context("fork")
    q = context.SimpleQueue()
    children = [start(context, put_for_ever_simply, q, size), start(context, get_for_ever_simply, q)]
    time.sleep(0.003 * moment + 0.01)
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
    for child in children:
        child.join(LIMIT)
    q.put("last")
    while (message := q.get()) != "last":
        assert message == b"y" * size
    assert q.empty()
    q.close()


def test_the_ends_of_a_simple_queue_can_be_waited_for(context):
    from procession.connection import wait

    q = context.SimpleQueue()
    assert q.empty() and wait([q._reader], 0) == []
    child = start(context, put_three, q)
    for number in range(3):
        assert wait([q._reader], LIMIT) == [q._reader]
        assert q._reader.recv() == number
    join(child)
    assert wait([q._reader], 0) == []
    q.close()
    assert q._reader.closed and q._writer.closed
    for use in (q.get, q.empty, lambda: q.put(1)):
        with pytest.raises(OSError, match="closed"):
            use()


def put_three(q):
    for number in range(3):
        q.put(number)


def work(q):
    for _ in range(20):
        q.get(timeout=LIMIT)
        q.task_done()


def test_join_waits_until_all_is_done(context):
    q = context.JoinableQueue()
    for i in range(40):
        q.put(i)
    children = [start(context, work, q) for _ in range(2)]
    q.join()
    join(*children)
    with pytest.raises(ValueError):
        q.task_done()


def test_many_at_once():
    q = procession.Queue()
    q.put_many(range(100))
    assert q.get_many(60) == list(range(60))
    assert q.get_many(60, timeout=1) == list(range(60, 100))
    assert q.get_many(1, timeout=0) == []


def test_a_simple_queue_passes_objects(context):
    there, back = context.SimpleQueue(), context.SimpleQueue()
    child = start(context, simple_echo, there, back)
    assert back.empty()
    there.put({"a": b"x" * 1000})
    assert back.get() == {"a": b"x" * 1000}
    join(child)
    for q in (there, back):
        q.close()


def simple_echo(incoming, outgoing):
    outgoing.put(incoming.get())


def test_queues_are_generic_and_pickled_for_a_child_that_starts_only():
    assert procession.queues.Queue[int].__origin__ is procession.queues.Queue
    with pytest.raises(RuntimeError):
        pickle.dumps(procession.Queue())


class Named(procession.queues.Queue):
    """What it is made with is none of what a queue is made with."""

    def __init__(self, name, room=0, *, ctx=None):
        super().__init__(room, ctx=ctx)
        self.name = name


class NamedAndJoinable(procession.queues.JoinableQueue):
    def __init__(self, name, room=0, *, ctx=None):
        super().__init__(room, ctx=ctx)


def take_and_tell(q, answers):
    answers.put((q.get(), q.qsize(), q.full()))


@pytest.mark.parametrize("kind", [Named, NamedAndJoinable])
def test_a_subclass_has_arguments_of_its_own(context, kind):
    answers = context.Queue()
    q = kind("post", 2, ctx=context)
    q.put(1)
    q.put(2)
    assert q.full()
    with pytest.raises(queue.Full):
        q.put(3, block=False)
    join(start(context, take_and_tell, q, answers))
    assert answers.get() == (1, 1, False)
    assert not kind(name="open").full()
    with pytest.raises(TypeError, match="maxsize must be an integer"):
        kind("post", "2")
