"""Queues among the things that programs wait for: `wait`, `select`, `selectors`, event loops."""

import asyncio
import os
import select
import selectors
import signal
import time
import warnings
from queue import Empty

import procession
import pytest
from procession import _procession as engine
from procession.connection import wait
from tasks.children import join, start
from tasks.waiting import until

LIMIT = 60
KINDS = ["Queue", "JoinableQueue", "SimpleQueue"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def put_each(q, numbers):
    for number in numbers:
        q.put(number)


def take_one(q, connection):
    connection.recv()
    q.get()
    connection.send("taken")


def test_queues_processes_and_connections_are_waited_for_together(context, kind):
    q, (mine, theirs) = getattr(context, kind)(), context.Pipe()
    assert wait([q, mine], 0) == []
    q.put(1)
    child = start(context, take_one, q, theirs)
    assert wait([q, q._reader, mine, child.sentinel], LIMIT)[:2] == [q, q._reader]
    mine.send("take")
    assert wait([mine], LIMIT) == [mine] and mine.recv() == "taken"
    # The other process has taken the last message, of which nobody told this one.
    until(lambda: wait([q], 0) == [], limit_s=LIMIT)
    assert wait([q, mine, child.sentinel], LIMIT) == [child.sentinel]
    join(child)


@pytest.mark.parametrize("end", [lambda q: q, lambda q: q._reader, lambda q: q._reader.fileno()])
def test_a_queue_is_readable_while_it_is_not_empty(kind, end):
    q = getattr(procession, kind)()
    polled, watched = select.poll(), selectors.DefaultSelector()
    polled.register(end(q), select.POLLIN)
    watched.register(end(q), selectors.EVENT_READ)
    ways = [
        lambda: bool(wait([end(q)], 0)),
        lambda: bool(select.select([end(q)], [], [], 0)[0]),
        lambda: bool(polled.poll(0)),
        lambda: bool(watched.select(0)),
        lambda: q._reader.poll(),
        lambda: not q.empty(),
    ]
    for number in range(3):
        assert not any(way() for way in ways)
        q.put(number)
        q.put(-number)
        assert all(way() for way in ways)
        assert q.get() == number
        assert all(way() for way in ways)
        assert q._reader.recv() == -number
    assert not any(way() for way in ways)
    watched.close()


def test_an_event_loop_reads_a_queue(context, kind):
    q = getattr(context, kind)()

    async def all_of(count):
        loop, taken, done = asyncio.get_running_loop(), [], asyncio.Event()

        def take():
            taken.append(q.get())
            if len(taken) == count:
                done.set()

        loop.add_reader(q._reader.fileno(), take)
        child = start(context, put_each, q, range(count))
        await asyncio.wait_for(done.wait(), LIMIT)
        loop.remove_reader(q._reader.fileno())
        join(child)
        return taken

    assert asyncio.run(all_of(200)) == list(range(200))


def wait_and_take(q, taken):
    """Take what comes, up to None, waiting by the descriptor alone."""
    while wait([q], LIMIT):
        try:
            item = q.get_nowait()
        except Empty:
            continue  # the other one was quicker
        taken.put(item)
        if item is None:
            return


def test_several_processes_wait_for_one_queue_and_each_message_comes_once(context):
    q, taken = context.Queue(), context.Queue()
    readers = [start(context, wait_and_take, q, taken) for _ in range(2)]
    writers = [start(context, put_each, q, range(start_at, 100, 2)) for start_at in range(2)]
    join(*writers)
    q.put_many([None, None])
    join(*readers)
    items = [taken.get(timeout=LIMIT) for _ in range(102)]
    assert sorted(item for item in items if item is not None) == list(range(100))


def get_blocking(q, taken, count):
    for _ in range(count):
        taken.put(q.get())


def test_who_waits_by_a_descriptor_takes_no_wake_up_from_who_gets(context):
    q, taken = context.Queue(), context.Queue()
    assert wait([q], 0) == []
    child = start(context, get_blocking, q, taken, 50)
    for number in range(50):
        q.put(number)
        assert taken.get(timeout=LIMIT) == number
    join(child)
    until(lambda: wait([q], 0) == [], limit_s=LIMIT)


def put_for_ever(q):
    while True:
        q.put(b"x" * 5000)


# Where they are killed is chance, and the same code by each method.
@pytest.mark.parametrize(
    "method, moment", [*(("fork", moment) for moment in range(8)), ("spawn", 2), ("forkserver", 5)]
)
def test_killed_producers_leave_a_queue_that_can_be_waited_for(method, moment):
    context = procession.get_context(method)
    q = context.Queue()
    q.fileno()
    children = [start(context, put_for_ever, q) for _ in range(2)]
    q.get(timeout=LIMIT)
    time.sleep(0.001 * moment)
    for child in children:
        os.kill(child.pid, signal.SIGKILL)
        child.join(LIMIT)
    while wait([q], 0):
        q.get(timeout=LIMIT)
    assert q.empty()
    child = start(context, put_each, q, ["last"])
    assert wait([q], LIMIT) == [q] and q.get() == "last"
    join(child)


def ask_again(q, back):
    assert wait([q], LIMIT) == [q]
    back.put(q.get())
    assert wait([q], 0) == []
    back.put(engine.bell_threads())


def test_a_child_asks_for_itself_what_its_parent_has_asked(context):
    q, back = context.Queue(), context.Queue()
    assert wait([q], 0) == []
    child = start(context, ask_again, q, back)
    q.put("for the child")
    assert back.get(timeout=LIMIT) == "for the child"
    assert back.get(timeout=LIMIT) == 1
    join(child)
    until(lambda: wait([q], 0) == [], limit_s=LIMIT)
    q.put("for the parent")
    assert wait([q], 0) == [q]


def test_a_queue_that_nobody_waits_for_has_neither_descriptor_nor_thread():
    # In a process where no queue of another test is about to go.
    join(start(procession.get_context("spawn"), wait_for_none_then_for_one))


def wait_for_none_then_for_one():
    q = procession.Queue()
    before, threads = os.listdir("/proc/self/fd"), engine.bell_threads()
    q.put(1)
    assert q._reader.poll() and q._reader.poll(None) and q.get() == 1
    assert not q._reader.poll(0.01)
    assert os.listdir("/proc/self/fd") == before and engine.bell_threads() == threads
    q.fileno()
    assert engine.bell_threads() == threads + 1
    del q
    until(lambda: engine.bell_threads() == threads, limit_s=LIMIT)


def test_the_watching_thread_is_no_reason_to_warn_of_a_fork():
    q = procession.Queue()
    q.fileno()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        join(start(procession.get_context("fork"), put_each, q, [1]))
    assert not [one for one in caught if issubclass(one.category, procession.ProcessionWarning)]
    assert q.get() == 1


def test_ends_of_a_queue_have_the_methods_of_connections(kind):
    q = getattr(procession, kind)()
    q._writer.send({"a": 1})
    pickle = q._reader.recv_bytes()
    q._writer.send_bytes(pickle)
    assert q._reader.recv() == {"a": 1}
    assert q._reader.readable and not q._reader.writable and q._writer.writable and not q._writer.readable
    q._writer.close()
    assert q._writer.closed and not q._reader.closed
    with pytest.raises(OSError):
        q._writer.send(1)


def test_a_closed_queue_cannot_be_waited_for(kind):
    q = getattr(procession, kind)()
    assert wait([q], 0) == []
    reader = q._reader
    q.close()
    for ask in (q.fileno, reader.fileno, lambda: wait([q], 0), reader.poll):
        with pytest.raises(OSError, match="closed"):
            ask()
    assert reader.closed


def test_a_program_may_put_another_end_in_the_place_of_one():
    q = procession.Queue()
    q._reader = "mine"
    assert q._reader == "mine" and procession.Queue()._reader != "mine"


@pytest.mark.parametrize("name", ["_rlock", "_wlock", "_sem", "_buffer", "_notempty", "_thread"])
def test_a_part_that_a_queue_lacks_says_what_takes_its_place(name):
    q = procession.Queue()
    assert not hasattr(q, name)
    with pytest.raises(AttributeError, match=f"'Queue' object has no attribute '{name}': "):
        getattr(q, name)
