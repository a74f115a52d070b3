"""Misuse raises what it raises in the standard library, or a subclass: the same calls on both, side by side."""

import importlib
import json
import pickle
import signal
import subprocess
import sys
import time
import warnings

import pytest

LIMIT_S = 20


class Nothing:
    """Cannot be pickled."""

    def __reduce__(self):
        raise TypeError("cannot be pickled")


def started(mp):
    process = mp.Process(target=abs, args=(1,))
    process.start()
    return process


def closed_pool(mp):
    pool = mp.Pool(1)
    pool.close()
    pool.join()
    return pool


def on_pool(call):
    def run(mp):
        with mp.Pool(1) as pool:
            return call(pool)

    return run


def on_closed_pool(call):
    return lambda mp: call(closed_pool(mp))


def on_unstarted(call):
    return lambda mp: call(mp.Process(target=abs, args=(1,)))


def on_closed_process(call):
    def run(mp):
        process = started(mp)
        process.join()
        process.close()
        return call(process)

    return run


def on_pipe(call):
    def run(mp):
        left, right = mp.Pipe()
        with left, right:
            return call(left, right)

    return run


def on_one_way_pipe(call):
    def run(mp):
        reader, writer = mp.Pipe(False)
        with reader, writer:
            return call(reader, writer)

    return run


def on_closed_connection(call):
    def run(mp):
        left, right = mp.Pipe()
        left.close()
        right.close()
        return call(left)

    return run


def on_queue(call, *args):
    def run(mp):
        queue = mp.Queue(*args)
        try:
            return call(queue)
        finally:
            queue.close()

    return run


def on_closed_queue(call, kind="Queue"):
    def run(mp):
        queue = getattr(mp, kind)()
        queue.close()
        return call(queue)

    return run


def on_held_condition(call):
    def run(mp):
        condition = mp.Condition()
        with condition:
            return call(condition)

    return run


def on_memory(call, size=16):
    def run(mp):
        memory = mp.shared_memory.SharedMemory(create=True, size=size)
        try:
            return call(memory, mp)
        finally:
            memory.close()
            memory.unlink()

    return run


def on_list(call):
    def run(mp):
        shared = mp.shared_memory.ShareableList([1, "abc", None, 2.5])
        try:
            return call(shared)
        finally:
            shared.shm.close()
            shared.shm.unlink()

    return run


def on_manager(call):
    def run(mp):
        with mp.Manager() as manager:
            return call(manager)

    return run


def on_ended_manager(call):
    def run(mp):
        manager = mp.Manager()
        manager.shutdown()
        return call(manager)

    return run


def on_orphan(call):
    def run(mp):
        manager = mp.Manager()
        proxy = manager.list([1])
        manager.shutdown()
        return call(proxy)

    return run


def unpicklable_result(_):
    return Nothing()


def twice(process):
    process.start()
    try:
        process.start()
    finally:
        process.join()


def close_running(mp):
    process = mp.Process(target=time.sleep, args=(60,))
    process.start()
    try:
        process.close()
    finally:
        process.kill()
        process.join()


def wait_without_lock(mp):
    mp.Condition().wait(0.01)


def released_by_other(mp):
    lock = mp.RLock()
    lock.release()


def end_of_file(left, right):
    right.close()
    left.recv()


def broken_pipe(left, right):
    right.close()
    for _ in range(3):
        left.send_bytes(b"x")


def listener_on(address, **options):
    def run(mp):
        mp.connection.Listener(address, **options).close()

    return run


def same_address(mp):
    with mp.connection.Listener() as listener:
        mp.connection.Listener(listener.address).close()


def accept_closed(mp):
    listener = mp.connection.Listener()
    listener.close()
    listener.accept()


def of_closed_listener(name):
    def run(mp):
        listener = mp.connection.Listener()
        listener.close()
        getattr(listener, name)

    return run


def imap_next(call):
    def run(mp):
        with mp.Pool(1) as pool:
            call(pool.imap(time.sleep, [60]))

    return run


def connect_to_nobody(mp):
    manager = mp.managers.BaseManager(address="/nonexistent/socket", authkey=b"x")
    manager.connect()


MISUSES = {
    # processes
    "Process(group)": lambda mp: mp.Process(1),
    "current_process().kill()": lambda mp: mp.current_process().kill(),
    "Process(unknown=)": lambda mp: mp.Process(unknown=1),
    "Process(args=int)": lambda mp: mp.Process(target=abs, args=3),
    "Process(kwargs=int)": lambda mp: mp.Process(target=abs, kwargs=3),
    "Process.name = 3": on_unstarted(lambda process: setattr(process, "name", 3)),
    "Process.authkey = 3": on_unstarted(lambda process: setattr(process, "authkey", 3)),
    "Process.authkey = str": on_unstarted(lambda process: setattr(process, "authkey", "key")),
    "Process.terminate unstarted": on_unstarted(lambda process: process.terminate()),
    "Process.kill unstarted": on_unstarted(lambda process: process.kill()),
    "Process.join unstarted": on_unstarted(lambda process: process.join()),
    "Process.is_alive unstarted": on_unstarted(lambda process: process.is_alive()),
    "Process.exitcode unstarted": on_unstarted(lambda process: process.exitcode),
    "Process.close unstarted": on_unstarted(lambda process: process.close()),
    "Process.sentinel unstarted": on_unstarted(lambda process: process.sentinel),
    "Process.start twice": on_unstarted(twice),
    "Process.join(timeout=str)": lambda mp: started(mp).join("3"),
    "Process.close running": close_running,
    "Process.is_alive closed": on_closed_process(lambda process: process.is_alive()),
    "Process.join closed": on_closed_process(lambda process: process.join()),
    "Process.start closed": on_closed_process(lambda process: process.start()),
    "Process.terminate closed": on_closed_process(lambda process: process.terminate()),
    "Process.kill closed": on_closed_process(lambda process: process.kill()),
    "Process.exitcode closed": on_closed_process(lambda process: process.exitcode),
    "Process.pid closed": on_closed_process(lambda process: process.pid),
    "Process.sentinel closed": on_closed_process(lambda process: process.sentinel),
    "Process.daemon = after start": lambda mp: setattr(started(mp), "daemon", True),
    "Process.daemon = closed": on_closed_process(lambda process: setattr(process, "daemon", True)),
    "pickle a process": on_unstarted(lambda process: pickle.dumps(process)),
    "current_process().join": lambda mp: mp.current_process().join(),
    "current_process().start": lambda mp: mp.current_process().start(),
    # contexts
    "get_context(unknown)": lambda mp: mp.get_context("thread"),
    "get_context(3)": lambda mp: mp.get_context(3),
    "get_context([])": lambda mp: mp.get_context([]),
    "set_start_method(unknown)": lambda mp: mp.set_start_method("thread", force=True),
    "set_start_method(3)": lambda mp: mp.set_start_method(3, force=True),
    "set_start_method twice": lambda mp: (mp.get_start_method(), mp.set_start_method("fork")),
    "context.set_start_method": lambda mp: mp.get_context("fork").set_start_method("spawn"),
    "set_executable(int)": lambda mp: mp.set_executable(3),
    "set_forkserver_preload(int)": lambda mp: mp.set_forkserver_preload(3),
    "set_forkserver_preload([int])": lambda mp: mp.set_forkserver_preload([3]),
    "set_forkserver_preload(str)": lambda mp: mp.set_forkserver_preload("os"),
    # pools
    "Pool(0)": lambda mp: mp.Pool(0),
    "Pool(-1)": lambda mp: mp.Pool(-1),
    "Pool(str)": lambda mp: mp.Pool("2"),
    "Pool(float)": lambda mp: mp.Pool(1.5),
    "Pool(initializer=3)": lambda mp: mp.Pool(1, initializer=3),
    "Pool(initargs=3)": lambda mp: mp.Pool(1, initializer=abs, initargs=3),
    "Pool(maxtasksperchild=0)": lambda mp: mp.Pool(1, maxtasksperchild=0),
    "Pool(maxtasksperchild=str)": lambda mp: mp.Pool(1, maxtasksperchild="1"),
    "Pool(unknown=)": lambda mp: mp.Pool(1, unknown=3),
    "Pool.apply(args=int)": on_pool(lambda pool: pool.apply(abs, 3)),
    "Pool.apply(3)": on_pool(lambda pool: pool.apply(3)),
    "Pool.apply(kwds=int)": on_pool(lambda pool: pool.apply(abs, (1,), 3)),
    "Pool.apply(wrong arguments)": on_pool(lambda pool: pool.apply(abs, (1, 2))),
    "Pool.apply_async(callback=3)": on_pool(lambda pool: pool.apply_async(abs, (1,), callback=3)),
    "Pool.map(int)": on_pool(lambda pool: pool.map(abs, 3)),
    "Pool.map(3)": on_pool(lambda pool: pool.map(3, [1])),
    "Pool.map(chunksize=0)": on_pool(lambda pool: pool.map(abs, [1, 2], chunksize=0)),
    "Pool.map(chunksize=-1)": on_pool(lambda pool: pool.map(abs, [1, 2], chunksize=-1)),
    "Pool.map(chunksize=str)": on_pool(lambda pool: pool.map(abs, [1, 2], chunksize="1")),
    "Pool.map(chunksize=float)": on_pool(lambda pool: pool.map(abs, [1, 2], chunksize=1.5)),
    "Pool.starmap(ints)": on_pool(lambda pool: pool.starmap(abs, [1, 2])),
    "Pool.imap(int)": on_pool(lambda pool: pool.imap(abs, 3)),
    "Pool.imap(int), read": on_pool(lambda pool: list(pool.imap(abs, 3))),
    "Pool.imap(chunksize=0)": on_pool(lambda pool: pool.imap(abs, [1], chunksize=0)),
    "Pool.imap(chunksize=-1)": on_pool(lambda pool: pool.imap(abs, [1], chunksize=-1)),
    "Pool.imap(chunksize=str)": on_pool(lambda pool: pool.imap(abs, [1], chunksize="1")),
    "Pool.imap_unordered(chunksize=0)": on_pool(lambda pool: pool.imap_unordered(abs, [1], chunksize=0)),
    "Pool.map_async(int)": on_pool(lambda pool: pool.map_async(abs, 3)),
    "Pool.map unpicklable item": on_pool(lambda pool: pool.map(abs, [Nothing()])),
    "Pool.map unpicklable result": on_pool(lambda pool: pool.map(unpicklable_result, [1])),
    "AsyncResult.get(timeout)": on_pool(lambda pool: pool.apply_async(time.sleep, (60,)).get(0.01)),
    "AsyncResult.get(str)": on_pool(lambda pool: pool.apply_async(time.sleep, (60,)).get("3")),
    "AsyncResult.successful": on_pool(lambda pool: pool.apply_async(time.sleep, (60,)).successful()),
    "IMapIterator.next(timeout)": imap_next(lambda results: results.next(0.01)),
    "IMapIterator.next(str)": imap_next(lambda results: results.next("3")),
    "Pool.join running": on_pool(lambda pool: pool.join()),
    "Pool.apply closed": on_closed_pool(lambda pool: pool.apply(abs, (1,))),
    "Pool.apply_async closed": on_closed_pool(lambda pool: pool.apply_async(abs, (1,))),
    "Pool.map closed": on_closed_pool(lambda pool: pool.map(abs, [1])),
    "Pool.map_async closed": on_closed_pool(lambda pool: pool.map_async(abs, [1])),
    "Pool.starmap closed": on_closed_pool(lambda pool: pool.starmap(abs, [(1,)])),
    "Pool.imap closed": on_closed_pool(lambda pool: pool.imap(abs, [1])),
    "Pool.imap_unordered closed": on_closed_pool(lambda pool: pool.imap_unordered(abs, [1])),
    "with a closed pool": on_closed_pool(lambda pool: pool.__enter__()),
    "pickle a pool": on_pool(lambda pool: pickle.dumps(pool)),
    # queues
    "Queue(10**30)": lambda mp: mp.Queue(10**30),
    "Queue(2**31)": lambda mp: mp.Queue(2**31),
    "Queue(str)": lambda mp: mp.Queue("3"),
    "Queue(float)": lambda mp: mp.Queue(1.5),
    "JoinableQueue(10**30)": lambda mp: mp.JoinableQueue(10**30),
    "Queue.get empty": on_queue(lambda queue: queue.get(timeout=0.01)),
    "Queue.get_nowait empty": on_queue(lambda queue: queue.get_nowait()),
    "Queue.get(timeout=str)": on_queue(lambda queue: queue.get(timeout="3")),
    "Queue.put full": on_queue(lambda queue: (queue.put(1), queue.put(1, timeout=0.01)), 1),
    "Queue.put_nowait full": on_queue(lambda queue: (queue.put(1), queue.put_nowait(1)), 1),
    "Queue.put(timeout=str)": on_queue(lambda queue: (queue.put(1), queue.put(1, timeout="3")), 1),
    "Queue.put closed": on_closed_queue(lambda queue: queue.put(1)),
    "Queue.get closed": on_closed_queue(lambda queue: queue.get(timeout=0.1)),
    "Queue.empty closed": on_closed_queue(lambda queue: queue.empty()),
    "Queue.join_thread open": on_queue(lambda queue: queue.join_thread()),
    "pickle a queue": on_queue(lambda queue: pickle.dumps(queue)),
    "JoinableQueue.task_done": lambda mp: mp.JoinableQueue().task_done(),
    "SimpleQueue.put closed": on_closed_queue(lambda queue: queue.put(1), "SimpleQueue"),
    "SimpleQueue.get closed": on_closed_queue(lambda queue: queue.get(), "SimpleQueue"),
    "SimpleQueue.empty closed": on_closed_queue(lambda queue: queue.empty(), "SimpleQueue"),
    "SimpleQueue.put unpicklable": lambda mp: mp.SimpleQueue().put(Nothing()),
    "SimpleQueue(3)": lambda mp: mp.SimpleQueue(3),
    "Queue.put unpicklable": on_queue(lambda queue: queue.put(Nothing())),
    # connections
    "Connection.send closed": on_closed_connection(lambda end: end.send(1)),
    "Connection.recv closed": on_closed_connection(lambda end: end.recv()),
    "Connection.poll closed": on_closed_connection(lambda end: end.poll()),
    "Connection.fileno closed": on_closed_connection(lambda end: end.fileno()),
    "Connection.send_bytes closed": on_closed_connection(lambda end: end.send_bytes(b"x")),
    "Connection.recv_bytes closed": on_closed_connection(lambda end: end.recv_bytes()),
    "with a closed connection, send": on_closed_connection(lambda end: end.__enter__().send(1)),
    "Connection.recv at the end": on_pipe(end_of_file),
    "Connection.send_bytes to nobody": on_pipe(broken_pipe),
    "Connection.send unpicklable": on_pipe(lambda left, right: left.send(Nothing())),
    "Connection.send_bytes(str)": on_pipe(lambda left, right: left.send_bytes("text")),
    "Connection.send_bytes(offset=-1)": on_pipe(lambda left, right: left.send_bytes(b"abc", -1)),
    "Connection.send_bytes(offset=9)": on_pipe(lambda left, right: left.send_bytes(b"abc", 9)),
    "Connection.send_bytes(size=-1)": on_pipe(lambda left, right: left.send_bytes(b"abc", 0, -1)),
    "Connection.send_bytes(size=9)": on_pipe(lambda left, right: left.send_bytes(b"abc", 1, 9)),
    "Connection.send_bytes(offset=str)": on_pipe(lambda left, right: left.send_bytes(b"abc", "1")),
    "Connection.recv_bytes(-1)": on_pipe(lambda left, right: left.recv_bytes(-1)),
    "Connection.recv_bytes(10**30)": on_pipe(lambda left, right: (right.send_bytes(b"abc"), left.recv_bytes(10**30))),
    "Connection.recv_bytes(str)": on_pipe(lambda left, right: left.recv_bytes("1")),
    "Connection.recv_bytes(too small)": on_pipe(lambda left, right: (right.send_bytes(b"abc"), left.recv_bytes(2))),
    "Connection.recv_bytes_into(small)": on_pipe(
        lambda left, right: (right.send_bytes(b"abc"), left.recv_bytes_into(bytearray(2)))
    ),
    "Connection.recv_bytes_into(bytes)": on_pipe(
        lambda left, right: (right.send_bytes(b"abc"), left.recv_bytes_into(b"   "))
    ),
    "Connection.recv_bytes_into(offset=-1)": on_pipe(
        lambda left, right: (right.send_bytes(b"abc"), left.recv_bytes_into(bytearray(9), -1))
    ),
    "Connection.recv_bytes_into(offset=9)": on_pipe(
        lambda left, right: (right.send_bytes(b"abc"), left.recv_bytes_into(bytearray(3), 9))
    ),
    "Connection.poll(str)": on_pipe(lambda left, right: left.poll("3")),
    "reader.send": on_one_way_pipe(lambda reader, writer: reader.send(1)),
    "writer.recv": on_one_way_pipe(lambda reader, writer: writer.recv()),
    "writer.poll": on_one_way_pipe(lambda reader, writer: writer.poll()),
    "reader.send_bytes": on_one_way_pipe(lambda reader, writer: reader.send_bytes(b"x")),
    "writer.recv_bytes": on_one_way_pipe(lambda reader, writer: writer.recv_bytes()),
    "Connection(-1)": lambda mp: mp.connection.Connection(-1),
    "Connection(str)": lambda mp: mp.connection.Connection("3"),
    "Connection(neither)": lambda mp: mp.connection.Connection(0, False, False),
    "wait([None])": lambda mp: mp.connection.wait([None], 0.01),
    "wait(3)": lambda mp: mp.connection.wait(3),
    "wait(timeout=str)": lambda mp: mp.connection.wait([mp.Pipe()[0]], "3"),
    "pickle a connection": on_pipe(lambda left, right: pickle.dumps(left)),
    "Listener(unknown family)": listener_on(None, family="AF_UNKNOWN"),
    "Listener(AF_PIPE)": listener_on(None, family="AF_PIPE"),
    "Listener(3)": listener_on(3),
    "Listener(no folder)": listener_on("/nonexistent/folder/socket"),
    "Listener(authkey=str)": listener_on(None, authkey="key"),
    "Listener(authkey=3)": listener_on(None, authkey=3),
    "Listener(('localhost', str))": listener_on(("localhost", "x")),
    "Listener twice": same_address,
    "Listener.accept closed": accept_closed,
    "Listener.address closed": of_closed_listener("address"),
    "Listener.last_accepted closed": of_closed_listener("last_accepted"),
    "Client(nobody)": lambda mp: mp.connection.Client("/nonexistent/socket"),
    "Client(port of nobody)": lambda mp: mp.connection.Client(("127.0.0.1", 1)),
    "Client(3)": lambda mp: mp.connection.Client(3),
    "Client(authkey=str)": lambda mp: mp.connection.Client("/nonexistent/socket", authkey="key"),
    "Client(unknown family)": lambda mp: mp.connection.Client("/x", "AF_UNKNOWN"),
    # locks and the like
    "Lock.release free": lambda mp: mp.Lock().release(),
    "RLock.release free": released_by_other,
    "Lock.acquire(timeout=str)": lambda mp: mp.Lock().acquire(timeout="3"),
    "held Lock.acquire(timeout=str)": lambda mp: (lambda lock: (lock.acquire(), lock.acquire(timeout="3")))(mp.Lock()),
    "Lock(3)": lambda mp: mp.Lock(3),
    "Semaphore(-1)": lambda mp: mp.Semaphore(-1),
    "Semaphore(2**40)": lambda mp: mp.Semaphore(2**40),
    "Semaphore(10**30)": lambda mp: mp.Semaphore(10**30),
    "Semaphore(None)": lambda mp: mp.Semaphore(None),
    "Semaphore(str)": lambda mp: mp.Semaphore("3"),
    "Semaphore(float)": lambda mp: mp.Semaphore(1.5),
    "BoundedSemaphore(-1)": lambda mp: mp.BoundedSemaphore(-1),
    "BoundedSemaphore(2**40)": lambda mp: mp.BoundedSemaphore(2**40),
    "BoundedSemaphore.release": lambda mp: mp.BoundedSemaphore(1).release(),
    "Condition(3)": lambda mp: mp.Condition(3),
    "Condition(semaphore)": lambda mp: mp.Condition(mp.Semaphore()),
    "Condition.wait free": wait_without_lock,
    "Condition.notify free": lambda mp: mp.Condition().notify(),
    "Condition.notify(-1) free": lambda mp: mp.Condition().notify(-1),
    "Condition.notify(-1)": on_held_condition(lambda condition: condition.notify(-1)),
    "Condition.notify(10**30)": on_held_condition(lambda condition: condition.notify(10**30)),
    "Condition.notify_all free": lambda mp: mp.Condition().notify_all(),
    "Condition.release free": lambda mp: mp.Condition().release(),
    "Barrier(0)": lambda mp: mp.Barrier(0),
    "Barrier(-1)": lambda mp: mp.Barrier(-1),
    "Barrier(2**31)": lambda mp: mp.Barrier(2**31),
    "Barrier(10**30)": lambda mp: mp.Barrier(10**30),
    "Barrier(str)": lambda mp: mp.Barrier("3"),
    "Barrier(action=3)": lambda mp: mp.Barrier(1, action=3).wait(),
    "Barrier.wait(timeout)": lambda mp: mp.Barrier(2).wait(0.01),
    "Barrier.wait aborted": lambda mp: (lambda barrier: (barrier.abort(), barrier.wait()))(mp.Barrier(2)),
    "Event.wait(str)": lambda mp: mp.Event().wait("3"),
    "pickle a lock": lambda mp: pickle.dumps(mp.Lock()),
    # shared numbers
    "Value(unknown code)": lambda mp: mp.Value("?"),
    "Value('x')": lambda mp: mp.Value("x"),
    "Value(3)": lambda mp: mp.Value(3),
    "Value('i', str)": lambda mp: mp.Value("i", "x"),
    "Value('i', 1, 2)": lambda mp: mp.Value("i", 1, 2),
    "Value('i', lock=3)": lambda mp: mp.Value("i", lock=3),
    "Value.value = str": lambda mp: setattr(mp.Value("i"), "value", "x"),
    "Value.value = float": lambda mp: setattr(mp.Value("i"), "value", 1.5),
    "Value('c').value = int": lambda mp: setattr(mp.Value("c"), "value", 3),
    "Value('c').value = bytes of two": lambda mp: setattr(mp.Value("c"), "value", b"ab"),
    "RawValue('x')": lambda mp: mp.RawValue("x"),
    "RawValue(dict)": lambda mp: mp.RawValue(dict),
    "Array('i', -1)": lambda mp: mp.Array("i", -1),
    "Array('i', str)": lambda mp: mp.Array("i", "abc"),
    "Array('i', float)": lambda mp: mp.Array("i", 1.5),
    "Array('i', None)": lambda mp: mp.Array("i", None),
    "Array('x', 3)": lambda mp: mp.Array("x", 3),
    "Array('i', lock=3)": lambda mp: mp.Array("i", 3, lock=3),
    "Array[9]": lambda mp: mp.Array("i", 3)[9],
    "Array[str]": lambda mp: mp.Array("i", 3)["x"],
    "Array[0] = str": lambda mp: mp.Array("i", 3).__setitem__(0, "x"),
    "Array[0:2] = one": lambda mp: mp.Array("i", 3).__setitem__(slice(0, 2), [1]),
    "RawArray('i', -1)": lambda mp: mp.RawArray("i", -1),
    "RawArray('x', 3)": lambda mp: mp.RawArray("x", 3),
    "pickle a value": lambda mp: pickle.dumps(mp.Value("i")),
    # shared memory
    "SharedMemory()": lambda mp: mp.shared_memory.SharedMemory(),
    "SharedMemory(unknown name)": lambda mp: mp.shared_memory.SharedMemory("not_there_at_all"),
    "SharedMemory(size=0)": lambda mp: mp.shared_memory.SharedMemory(create=True, size=0),
    "SharedMemory(size=-1)": lambda mp: mp.shared_memory.SharedMemory(create=True, size=-1),
    "SharedMemory(size=2**60)": lambda mp: mp.shared_memory.SharedMemory(create=True, size=2**60),
    "SharedMemory(name=3)": lambda mp: mp.shared_memory.SharedMemory(3),
    "SharedMemory(name with slash)": lambda mp: mp.shared_memory.SharedMemory("a/b/c", create=True, size=1),
    "SharedMemory(long name)": lambda mp: mp.shared_memory.SharedMemory("x" * 300, create=True, size=1),
    "SharedMemory(same name)": on_memory(
        lambda memory, mp: mp.shared_memory.SharedMemory(memory.name, create=True, size=1)
    ),
    "SharedMemory.buf too far": on_memory(lambda memory, mp: memory.buf[99999]),
    "SharedMemory.buf closed": on_memory(lambda memory, mp: (memory.close(), memory.buf[0])),
    "SharedMemory.close in use": on_memory(lambda memory, mp: (lambda view: memory.close())(memory.buf[:2])),
    "ShareableList(object)": lambda mp: mp.shared_memory.ShareableList([object()]),
    "ShareableList(list)": lambda mp: mp.shared_memory.ShareableList([[1]]),
    "ShareableList(2**70)": lambda mp: mp.shared_memory.ShareableList([2**70]),
    "ShareableList(3)": lambda mp: mp.shared_memory.ShareableList(3),
    "ShareableList()": lambda mp: mp.shared_memory.ShareableList(name="not_there_at_all"),
    "ShareableList[9]": on_list(lambda shared: shared[9]),
    "ShareableList[str]": on_list(lambda shared: shared["x"]),
    "ShareableList[9] = 1": on_list(lambda shared: shared.__setitem__(9, 1)),
    "ShareableList[0] = object": on_list(lambda shared: shared.__setitem__(0, object())),
    "ShareableList[1] = longer": on_list(lambda shared: shared.__setitem__(1, "x" * 100)),
    "ShareableList[0] = 2**70": on_list(lambda shared: shared.__setitem__(0, 2**70)),
    "ShareableList.index(missing)": on_list(lambda shared: shared.index("missing")),
    # managers
    "Manager().list(3)": on_manager(lambda manager: manager.list(3)),
    "Manager().dict(3)": on_manager(lambda manager: manager.dict(3)),
    "Manager().unknown": on_manager(lambda manager: manager.unknown),
    "Manager().Barrier(0)": on_manager(lambda manager: manager.Barrier(0)),
    "Manager().Semaphore(-1)": on_manager(lambda manager: manager.Semaphore(-1)),
    "Manager().Array('x')": on_manager(lambda manager: manager.Array("x", [1])),
    "Manager().list()[9]": on_manager(lambda manager: manager.list()[9]),
    "Manager().dict()['x']": on_manager(lambda manager: manager.dict()["x"]),
    "Manager().Lock().release": on_manager(lambda manager: manager.Lock().release()),
    "Manager().Queue().get_nowait": on_manager(lambda manager: manager.Queue().get_nowait()),
    "Manager().list().append unpicklable": on_manager(lambda manager: manager.list().append(Nothing())),
    "Manager().list()._callmethod(unknown)": on_manager(lambda manager: manager.list()._callmethod("unknown")),
    "Manager().start twice": on_manager(lambda manager: manager.start()),
    "Manager().Namespace().missing": on_manager(lambda manager: manager.Namespace().missing),
    "list after shutdown": on_ended_manager(lambda manager: manager.list()),
    "start after shutdown": on_ended_manager(lambda manager: manager.start()),
    "connect after shutdown": on_ended_manager(lambda manager: manager.connect()),
    "with after shutdown": on_ended_manager(lambda manager: manager.__enter__()),
    "proxy after shutdown": on_orphan(lambda proxy: proxy.append(1)),
    "len of proxy after shutdown": on_orphan(lambda proxy: len(proxy)),
    "BaseManager(authkey=str)": lambda mp: mp.managers.BaseManager(authkey="key"),
    "BaseManager().list": lambda mp: mp.managers.BaseManager().list,
    "SyncManager().list unstarted": lambda mp: mp.managers.SyncManager().list(),
    "SyncManager().get_server started": on_manager(lambda manager: manager.get_server()),
    "BaseManager().shutdown unstarted": lambda mp: mp.managers.BaseManager().shutdown(),
    "BaseManager().start(3)": lambda mp: mp.managers.BaseManager().start(3),
    "BaseManager.connect to nobody": connect_to_nobody,
    "BaseManager(serializer=)": lambda mp: mp.managers.BaseManager(serializer="unknown"),
    "SharedMemoryManager().SharedMemory(0)": lambda mp: mp.managers.SharedMemoryManager().SharedMemory(1),
}


# Where procession differs on purpose: what it raises, and why. docs/differences.md lists them too.
ON_PURPOSE = {
    "set_forkserver_preload(str)": ("TypeError", "a text is taken for its letters there, and nothing is imported"),
    "Pool(initargs=3)": ("TypeError", "workers are started for ever there"),
    "Pool.map(chunksize=0)": ("ValueError", "no item is run there, and a list of None returned"),
    "Pool.map(chunksize=-1)": ("ValueError", "no item is run there, and a list of None returned"),
    "Pool.map(chunksize=float)": ("TypeError", "hangs there"),
    "Pool.apply_async(callback=3)": ("TypeError", "it ends the thread there that hands out all results"),
    "Pool.imap(int)": ("TypeError", "raised there when the first result is read"),
    "Queue.put unpicklable": ("TypeError", "a thread prints it there, and the object is lost"),
    "Client(authkey=str)": ("TypeError", "found out there once the other side has answered"),
    "Condition(semaphore)": ("TypeError", "a semaphore has no owner that could wait"),
    "Barrier(0)": ("ValueError", "nobody could ever pass"),
    "Barrier(-1)": ("ValueError", "nobody could ever pass"),
    "Barrier(2**31)": ("ValueError", "there cannot be as many threads, and each party has its place in memory"),
    "Barrier(10**30)": ("ValueError", "there cannot be as many threads, and each party has its place in memory"),
    "Barrier(str)": ("TypeError", "found out there by the last who waits"),
    "Manager().Barrier(0)": ("RemoteError", "nobody could ever pass: a ValueError in the server"),
}
# What the standard library would leave running, or wait for.
NOT_TRIED_THERE = {"Pool.apply_async(callback=3)", "Pool(initargs=3)", "Pool.map(chunksize=float)"}


def names_of(error):
    """The names of an exception's types, its own first; without the module where that is of one of the libraries."""
    own = ("multiprocessing.", "procession.")
    kinds = type(error).__mro__
    return [
        ("" if f"{kind.__module__}.".startswith(own) else f"{kind.__module__}.") + kind.__qualname__ for kind in kinds
    ]


def try_all(library):
    """Print what each misuse of `library` raises: a line of JSON each, null for nothing."""

    def late(signum, frame):
        raise RecursionError("no answer")

    signal.signal(signal.SIGALRM, late)
    warnings.simplefilter("ignore")
    mp = importlib.import_module(library)
    for part in ("connection", "managers", "pool", "shared_memory"):
        importlib.import_module(f"{library}.{part}")
    mp.set_start_method("fork")
    for case, call in MISUSES.items():
        answer = None
        if library != "multiprocessing" or case not in NOT_TRIED_THERE:
            signal.alarm(LIMIT_S)
            try:
                call(mp)
            except BaseException as error:
                answer = [names_of(error), str(error)]
            signal.alarm(0)
        print(json.dumps([case, answer]), flush=True)


@pytest.fixture(scope="module")
def answers():
    """What both libraries raise: by case, the names of the exception's types and its text."""
    runs = {}
    for library in ("multiprocessing", "procession"):
        command = [sys.executable, __file__, library]
        run = subprocess.run(command, capture_output=True, text=True, timeout=5 * LIMIT_S)
        assert run.returncode == 0, run.stderr
        runs[library] = dict(map(json.loads, run.stdout.splitlines()))
    return runs


@pytest.mark.parametrize("case", MISUSES)
def test_misuse_raises_what_it_does_in_the_standard_library(case, answers):
    theirs, ours = answers["multiprocessing"][case], answers["procession"][case]
    if case in ON_PURPOSE:
        assert ours[0][0].removeprefix("builtins.") == ON_PURPOSE[case][0] and ours[1]
    elif theirs is None:
        assert ours is None
    else:
        assert theirs[0][0] in ours[0], ours
        assert ours[1] or theirs[0][0] in {"_queue.Empty", "queue.Full", "threading.BrokenBarrierError"}


if __name__ == "__main__":
    try_all(sys.argv[1])
