"""Managers: objects in a server, used through proxies."""

import gc
import multiprocessing
import multiprocessing.managers
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, MutableMapping, MutableSequence, MutableSet

import procession
import pytest
from procession.managers import (
    BaseManager,
    BaseProxy,
    DictProxy,
    MakeProxyType,
    RemoteError,
    SharedMemoryManager,
    SyncManager,
)
from procession.shared_memory import SharedMemory

LIMIT_S = 60


class Counter:
    def __init__(self, start=0):
        self.count = start

    def up(self, by=1):
        self.count += by
        return self.count

    def fail(self):
        raise LookupError("no such luck")

    def unpicklable(self):
        return threading.Lock()

    def parts(self):
        return iter(range(self.count))

    def _hidden(self):
        return "hidden"


CounterProxy = MakeProxyType("CounterProxy", ("up", "fail"))


class CounterManager(BaseManager):
    pass


CounterManager.register("Counter", Counter, method_to_typeid={"parts": "Parts"})
CounterManager.register("Hidden", Counter, exposed=("up", "_hidden"))
CounterManager.register("Typed", Counter, CounterProxy)
CounterManager.register("Parts", exposed=("__next__",), create_method=False)
_shared_queue = queue.Queue()


def get_shared_queue():
    return _shared_queue


class QueueManager(BaseManager):
    pass


QueueManager.register("get_queue", callable=get_shared_queue)


class QueueClient(BaseManager):
    pass


QueueClient.register("get_queue")


class StandardQueueClient(multiprocessing.managers.BaseManager):
    pass


StandardQueueClient.register("get_queue")


@pytest.fixture
def manager(context):
    with SyncManager(ctx=context) as manager:
        yield weakref.proxy(manager)  # pytest holds what it gets for longer than the test


def use_everything(mapping, values, results, space, event, lock):
    with lock:
        mapping["child"] = os.getpid()
        values.append(4)
        space.x += 1
    results.put(sorted(mapping))
    event.set()


def test_a_child_uses_what_the_parent_made(manager, context):
    mapping, values, results = manager.dict(a=1), manager.list([1, 2, 3]), manager.Queue()
    space, event, lock = manager.Namespace(x=1), manager.Event(), manager.Lock()
    child = context.Process(target=use_everything, args=(mapping, values, results, space, event, lock))
    child.start()
    assert event.wait(LIMIT_S)
    child.join(LIMIT_S)
    assert child.exitcode == 0
    assert mapping["child"] == child.pid and values[:] == [1, 2, 3, 4] and space.x == 2
    assert results.get(timeout=LIMIT_S) == ["a", "child"]


def count_down_to(mapping):
    with mapping["inner"]["lock"]:
        mapping["inner"]["count"] += 1


def test_arguments_live_until_the_child_has_counted_them(manager, context):
    result = manager.dict(count=0)
    result["lock"] = manager.Lock()
    children = [context.Process(target=count_down_to, args=(manager.dict(inner=result),)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(LIMIT_S)
    assert result["count"] == 3


def test_a_collected_proxy_gives_its_object_back(manager):
    things = [manager.dict(), manager.list(), manager.Value("i", 1)]
    assert manager._number_of_objects() == 3
    things.clear()
    gc.collect()
    assert manager._number_of_objects() == 0


def test_proxies_of_containers_are_known_as_what_they_stand_for(manager):
    assert isinstance(manager.list(), MutableSequence) and isinstance(manager.dict(), MutableMapping)
    assert isinstance(manager.set(), MutableSet) and not isinstance(manager.Namespace(), Mapping)
    entries = reversed(manager.dict(a=1, b=2))
    assert not isinstance(entries, BaseProxy) and list(entries) == ["b", "a"]


def test_containers_behave_as_plain_ones(manager):
    values = manager.list(range(5))
    values += [5]
    values *= 2
    assert values[2:4] == [2, 3] and len(values) == 12 and values + [1] == [*range(6)] * 2 + [1]
    assert list(iter(values)) == [*range(6)] * 2 and 3 in values and values.pop() == 5
    mapping = manager.dict({"a": 1}, b=2)
    mapping |= {"c": 3}
    assert isinstance(mapping, DictProxy) and list(mapping) == ["a", "b", "c"]
    assert mapping.items() == [("a", 1), ("b", 2), ("c", 3)] and mapping.get("z") is None
    assert str(mapping) == "{'a': 1, 'b': 2, 'c': 3}" and "DictProxy" in repr(mapping)
    with pytest.raises(KeyError):
        mapping["z"]
    numbers = manager.set([1, 2])
    numbers |= {3}
    assert numbers == {1, 2, 3} and sorted(numbers) == [1, 2, 3] and numbers & {1} == {1}
    value, array = manager.Value("i", 1), manager.Array("d", [1, 2])
    value.value += 1
    array[0] = 5
    assert value.get() == 2 and list(array) == [5, 2]


def test_objects_nest_and_outlive_their_first_proxies(manager):
    inner = manager.dict(x=1)
    outer = manager.list([inner, [2]])
    del inner
    gc.collect()
    outer[0]["x"] = 7
    assert outer[0]["x"] == 7 and outer[1] == [2]
    taken = outer.pop(0)
    assert taken["x"] == 7 and not isinstance(taken, dict)


def hold_then_release(lock, held, go_on):
    with lock:
        held.set()
        go_on.wait(LIMIT_S)


def test_synchronisation_excludes_and_wakes(manager, context):
    lock, held, go_on = manager.RLock(), manager.Event(), manager.Event()
    child = context.Process(target=hold_then_release, args=(lock, held, go_on))
    child.start()
    assert held.wait(LIMIT_S)
    assert not lock.acquire(False) and not lock.acquire(True, 0.01)
    go_on.set()
    assert lock.acquire(True, LIMIT_S)
    lock.release()
    child.join(LIMIT_S)
    with pytest.raises(RuntimeError):
        lock.release()
    condition = manager.Condition()
    with condition:
        assert not condition.wait(0.01)
        assert condition.wait_for(lambda: 3, LIMIT_S) == 3
    barrier = manager.Barrier(1)
    assert barrier.parties == 1 and barrier.wait(LIMIT_S) == 0 and not barrier.broken
    semaphore = manager.BoundedSemaphore(1)
    with semaphore:
        assert not semaphore.acquire(False)
    with pytest.raises(ValueError):
        semaphore.release()


def test_registered_types_expose_what_they_should(context):
    with CounterManager(ctx=context) as manager:
        counter, hidden, typed = manager.Counter(3), manager.Hidden(), manager.Typed()
        assert counter.up() == 4 and counter.up(by=2) == 6 and typed.up() == 1 and hidden._hidden() == "hidden"
        assert not hasattr(counter, "_hidden") and not hasattr(hidden, "fail")
        with pytest.raises(LookupError, match="no such luck"):
            counter.fail()
        with pytest.raises(RemoteError, match="_hidden"):
            counter._callmethod("_hidden")
        with pytest.raises(RemoteError, match="pickle"):
            counter.unpicklable()
        parts = counter.parts()
        assert isinstance(parts, BaseProxy) and parts._callmethod("__next__") == 0
        with pytest.raises(RemoteError, match="unexpected keyword"):
            manager.Counter(nonsense=1)
        assert counter.up() == 7


def test_an_error_from_the_server_is_freed_with_its_last_reference(manager):
    values = manager.Queue()
    gc.disable()
    try:
        try:
            values.get_nowait()
        except queue.Empty as error:
            remembered = weakref.ref(error)
        assert remembered() is None
    finally:
        gc.enable()


def take_one(values):
    values.get()


def test_what_a_killed_client_waited_for_goes_to_the_others(manager, context):
    values = manager.Queue()
    child = context.Process(target=take_one, args=(values,))
    child.start()
    while manager._number_of_objects() < 1 or not child.is_alive():
        pass
    child.kill()
    child.join(LIMIT_S)
    values.put("precious")
    assert values.get(timeout=LIMIT_S) == "precious"


def test_a_mute_client_keeps_nobody_waiting(context):
    with (
        BaseManager(("127.0.0.1", 0), b"key", ctx=context) as manager,
        socket.create_connection(manager.address),
    ):
        other = BaseManager(manager.address, b"key")
        other.connect()
        assert other._number_of_objects() == 0


def test_a_mute_client_is_dropped_in_the_end(monkeypatch):
    monkeypatch.setattr("procession._shared.strangers.PATIENCE_SECONDS", 0.01)
    server = BaseManager(("127.0.0.1", 0), b"key").get_server()
    accept = threading.Thread(target=server._accept)
    accept.start()
    with socket.create_connection(server.address) as mute:
        assert mute.recv(4)  # the challenge
        while mute.recv(100):
            pass
        server.stop_event.set()
        socket.create_connection(server.address).close()
        accept.join(LIMIT_S)
        assert not accept.is_alive()
    server.listener.close()


def test_to_turn_away_a_client_that_is_gone_waits_for_none():
    server = BaseManager(("127.0.0.1", 0), b"key").get_server()
    server._turn_away()
    assert server._spare.fileno() >= 0
    server.listener.close()


def test_a_wrong_key_is_refused(context):
    with BaseManager(("127.0.0.1", 0), b"key", ctx=context) as manager:
        with pytest.raises(procession.AuthenticationError):
            BaseManager(manager.address, b"other").connect()
        assert manager._number_of_objects() == 0


def test_a_dead_server_is_an_error_at_once(context):
    manager = SyncManager(ctx=context)
    manager.start()
    values = manager.list()
    os.kill(manager._process.pid, signal.SIGKILL)
    manager.join(LIMIT_S)
    for _ in range(2):
        with pytest.raises((EOFError, ConnectionError, FileNotFoundError)):
            values.append(1)
    manager.shutdown()


def test_a_manager_lives_once(context):
    manager = BaseManager(ctx=context, shutdown_timeout=LIMIT_S)
    with pytest.raises(ValueError):
        SyncManager(ctx=context).dict()
    with manager:
        with pytest.raises(procession.ProcessError):
            manager.start()
        process = manager._process
    assert process.exitcode == 0
    manager.shutdown()
    with pytest.raises(procession.ProcessError):
        manager.start()


def test_an_address_in_use_is_told_at_the_start(context):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        BaseManager(taken.getsockname(), b"key", ctx=context).start()


def test_segments_go_with_their_manager(context):
    manager = SharedMemoryManager(ctx=context)
    with pytest.raises(ValueError):
        manager.SharedMemory(10)
    with manager:
        segment, values = manager.SharedMemory(10), manager.ShareableList([1, "two", None])
        again = SharedMemory(segment.name)
        again.buf[0] = 7
        assert segment.buf[0] == 7 and list(values) == [1, "two", None]
        again.close()
    for name in (segment.name, values.shm.name):
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    segment.close()
    values.shm.close()


def test_a_manager_of_segments_leaves_nothing_to_the_tracker(context, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import procession, sys\n"
        "from procession.managers import SharedMemoryManager\n"
        "if __name__ == '__main__':\n"
        "    with SharedMemoryManager(ctx=procession.get_context(sys.argv[1])) as manager:\n"
        "        manager.SharedMemory(10)\n"
    )
    done = subprocess.run(
        [sys.executable, program, context.get_start_method()], capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0 and not done.stderr


def test_a_pool_works_in_the_server(manager):
    with manager.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
        assert list(pool.imap(abs, [-3])) == [3] and pool.apply_async(abs, (-4,)).get(LIMIT_S) == 4
        with pytest.raises(ValueError):
            pool.apply(int, ("x",))


def fail_to_begin():
    raise LookupError("not today")


def test_a_failing_initializer_is_told_at_the_start(context):
    with pytest.raises(LookupError, match="not today"):
        BaseManager(ctx=context).start(fail_to_begin)


def put_there(address, serializer):
    client = QueueClient(address, b"key", serializer)
    client.connect()
    client.get_queue().put(("hello", 1, None))


@pytest.mark.parametrize("serializer", ["pickle", "xmlrpclib"])
def test_a_remote_client_uses_the_same_object(context, serializer):
    manager = QueueManager(("127.0.0.1", 0), b"key", serializer, ctx=context)
    with manager:
        child = context.Process(target=put_there, args=(manager.address, serializer))
        child.start()
        assert list(manager.get_queue().get(timeout=LIMIT_S)) == ["hello", 1, None]
        child.join(LIMIT_S)


def serve(server):
    try:
        server.serve_forever()
    except SystemExit:
        pass


def test_the_standard_library_is_a_client_of_ours(context):
    with QueueManager(("127.0.0.1", 0), b"key", ctx=context) as manager:
        client = StandardQueueClient(manager.address, b"key")
        client.connect()
        client.get_queue().put(42)
        assert manager.get_queue().get(timeout=LIMIT_S) == 42


class StandardQueueManager(multiprocessing.managers.BaseManager):
    pass


StandardQueueManager.register("get_queue", callable=get_shared_queue)


def test_we_are_a_client_of_the_standard_library():
    standard = StandardQueueManager(("127.0.0.1", 0), b"key", ctx=multiprocessing.get_context("fork"))
    with standard:
        client = QueueClient(standard.address, b"key")
        client.connect()
        values = client.get_queue()
        values.put(43)
        assert values.get() == 43 and client._number_of_objects() == 1
        del values
        gc.collect()
        assert client._number_of_objects() == 0


def test_bad_input_is_refused_at_the_call():
    with pytest.raises(ValueError, match="serializer"):
        BaseManager(serializer="json")
    with pytest.raises(TypeError):
        BaseManager().start(initializer=3)
    with pytest.raises(TypeError):
        BaseManager.register(3)
    with pytest.raises(TypeError):
        BaseManager.register("x", method_to_typeid={"a": 1})


def test_a_manager_that_ends_leaves_the_temporary_folder_of_its_parent(context):

    from procession.util import get_temp_dir

    folder = get_temp_dir()
    for _ in range(2):
        with context.Manager() as manager:
            assert list(manager.list([1])) == [1]
        assert os.path.isdir(folder)


def test_managers_load_no_xml_before_it_is_asked_for():
    code = "import sys, procession.managers; print('xmlrpc' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "False\n"
