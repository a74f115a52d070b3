"""A program that a type checker has to accept, with the types that it has to find."""

import asyncio
import ctypes
from concurrent.futures import Future
from typing import Any, Literal, assert_type

import procession
import procession as multiprocessing
from procession import connection, context, dummy, futures, managers, pool, queues, shared_memory, sharedctypes
from procession.pool import AsyncResult, MapResult, ThreadPool


def length(text: str) -> int:
    return len(text)


def add(a: int, b: int = 1) -> float:
    return a + b / 2


def processes() -> None:
    child = multiprocessing.Process(target=add, args=(1,), kwargs={"b": 2}, name="adder", daemon=True)
    child.start()
    child.join(1.5)
    assert_type(child.exitcode, int | None)
    assert_type(child.pid, int | None)
    assert_type(child.is_alive(), bool)
    assert_type(child.sentinel, int)
    child.interrupt()
    child.name = "other"
    multiprocessing.Process(
        target=print, env={"A": "1", "B": None}, cwd="/", nice=5, cpu_affinity=[0], max_memory=1 << 30
    )
    assert_type(multiprocessing.current_process().authkey, bytes)
    assert_type(multiprocessing.active_children(), list[procession.process.BaseProcess])
    assert_type(multiprocessing.cpu_count(), int)
    assert_type(multiprocessing.get_all_start_methods(), list[str])

    class Greeter(multiprocessing.Process):
        def run(self) -> None:
            print("hello")

    Greeter().start()


def contexts() -> None:
    ctx = multiprocessing.get_context("spawn")
    assert_type(ctx, context.SpawnContext)
    assert_type(ctx.Process(target=print), context.SpawnProcess)
    assert_type(ctx.get_start_method(), str)
    assert_type(ctx.Pool(2), pool.Pool)
    assert_type(ctx.Lock(), procession.synchronize.Lock)
    multiprocessing.set_start_method("fork", force=True)
    multiprocessing.set_forkserver_preload(["numpy"], on_error="warn")


def recordings() -> None:
    with procession.recording("run.procession", resolution=1e-3) as run:
        pass
    assert_type(run.path, str)
    assert_type([finding.seconds for finding in run.findings()], list[float])
    assert_type([each.tasks for each in run.functions()], list[int])
    run.save("page.html")
    run.trace("trace.json")


def pools() -> None:
    with multiprocessing.Pool(2, initializer=print, initargs=(1,), maxtasksperchild=3) as workers:
        assert_type(workers.map(length, ["a", "b"]), list[int])
        assert_type(workers.map(length, iter(["a"]), chunksize=1, timeout=2.0, retries=1, retry_on=OSError), list[int])
        assert_type(workers.map(length, ["a"], progress="rich"), list[int])
        assert_type(workers.map(length, ["a"], progress=lambda seen: print(seen.done, seen.tasks[0].text)), list[int])
        assert_type(workers.map(length, ["a"], seed=[1, 2], seed_globals=True), list[int])
        assert_type(procession.current_task().random.random(), float)
        assert_type(workers.map(length, ["a"], on_error="skip", resume="run.journal", fsync=True), list[int])
        assert_type(workers.imap(length, ["a"], on_error="skip").skipped, int)
        assert_type(procession.TaskFailed(1, 2, OSError()).traceback, str)
        assert_type(procession.current_worker().index, int | None)
        assert_type(procession.context_var("user", default="nobody").get(), str)
        assert_type(workers.apply(add, (1,), {"b": 2}), float)
        result = workers.apply_async(add, (1, 2), callback=print, error_callback=print)
        assert_type(result, AsyncResult[float])
        assert_type(result.get(timeout=1), float)
        assert_type(result.cancel(), bool)
        assert_type(workers.map_async(length, ["a"]), MapResult[int])
        assert_type(workers.map_async(length, ["a"]).get(), list[int])
        assert_type(workers.starmap(add, [(1, 2)]), list[float])
        for number in workers.imap_unordered(length, ["a"], buffersize=10):
            assert_type(number, int)
        assert_type(workers.imap(length, ["a"]).next(timeout=1), int)
    with multiprocessing.Pool(min_workers=1, max_workers=3, idle_timeout=9, resources={"card": 2}) as elastic:
        elastic.resize(2)
        assert_type(elastic.map(length, ["a"], order="longest", cost=length, priority=1), list[int])
        assert_type(elastic.apply(length, ("a",), resources={"card": 1}), int)
        with procession.scope(elastic, priority=2) as scope:
            assert_type(scope.submit(add, 1, b=2), AsyncResult[float])
            assert_type(scope.map(length, ["a"]), MapResult[int])
    assert_type(procession.current_task().resources, dict[str, tuple[int, ...]])
    threads: pool.Pool = ThreadPool(2)
    assert_type(threads.map(length, ["a"]), list[int])
    assert_type(dummy.Pool(1), ThreadPool)


async def blocks() -> None:
    async with procession.open_pool(2) as workers, procession.scope(workers) as scope:
        assert_type(await scope.submit(length, "a"), int)
        assert_type(workers, pool.Pool)


def failures_as_values(on_error: Literal["return", "skip"]) -> None:
    with multiprocessing.Pool(2) as workers, futures.ProcessPoolExecutor(2) as executor:
        found = workers.map(length, ["a", "b"], on_error="return")
        assert_type(found, list[int | procession.TaskFailed])
        print([one.index if isinstance(one, procession.TaskFailed) else one + 1 for one in found])
        assert_type(workers.map(length, ["a"], on_error="raise"), list[int])
        assert_type(workers.map(length, ["a"], on_error="skip", retries=1), list[int])
        assert_type(workers.map(length, ["a"], on_error=on_error), list[int | procession.TaskFailed] | list[int])
        late = workers.map_async(length, ["a"], callback=print, on_error="return")
        assert_type(late.get(), list[int | procession.TaskFailed])
        assert_type(workers.starmap(add, [(1, 2)], on_error="return"), list[float | procession.TaskFailed])
        stars = workers.starmap_async(add, [(1, 2)], on_error="return", resume="run.journal")
        assert_type(stars, MapResult[float | procession.TaskFailed])
        assert_type(next(workers.imap(length, ["a"], on_error="return")), int | procession.TaskFailed)
        assert_type(next(workers.imap_unordered(length, ["a"], on_error="return")), int | procession.TaskFailed)
        assert_type(list(executor.map(add, [1], [2], on_error="skip", resume="run.journal")), list[float])
        assert_type(next(executor.map(add, [1], [2], on_error="return")), float | procession.TaskFailed)


def queues_and_connections() -> None:
    typed: queues.Queue[int] = multiprocessing.Queue(3)
    typed.put(1, timeout=2)
    assert_type(typed.get(), int)
    assert_type(typed.get_many(5), list[int])
    simple: queues.SimpleQueue[str] = multiprocessing.SimpleQueue()
    assert_type(simple.get(), str)
    joinable: queues.JoinableQueue[bytes] = multiprocessing.JoinableQueue()
    joinable.task_done()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    assert_type(ours, connection.Connection)
    assert_type(theirs.recv_bytes(10), bytes)
    assert_type(connection.wait([ours, theirs], timeout=0), list[connection.Connection])
    with connection.Listener(("localhost", 0), authkey=b"key") as listener, listener.accept() as accepted:
        accepted.send_bytes(bytearray(b"ab"), 1)
    assert_type(connection.Client(listener.address), connection.Connection)


def synchronization() -> None:
    lock = multiprocessing.Lock(robust=True)
    with lock:
        assert_type(lock.locked(), bool)
    assert_type(multiprocessing.Semaphore(3).get_value(), int)
    assert_type(multiprocessing.Condition(lock).wait_for(lambda: "x", 1), str)
    assert_type(multiprocessing.Event().wait(1), bool)
    assert_type(multiprocessing.Barrier(2, action=print).wait(), int)


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int)]


def shared() -> None:
    counter = multiprocessing.Value("i", 0)
    with counter.get_lock():
        counter.value += 1
    assert_type(counter, sharedctypes.Synchronized[int])
    assert_type(multiprocessing.Value(ctypes.c_double, 1.5).value, float)
    assert_type(multiprocessing.Value(Point, 1, lock=False), Point)
    assert_type(multiprocessing.Array("d", [1.0, 2.0])[0], float)
    assert_type(multiprocessing.Array("i", 3)[:2], list[int])
    assert_type(multiprocessing.Array("c", b"abc").value, bytes)
    segment = shared_memory.SharedMemory(create=True, size=16, track=False)
    segment.buf[0] = 1
    names = shared_memory.ShareableList(["a", "b"])
    assert_type(names[0], str)
    assert_type(names.shm.name, str)
    table = {"a": [1.5], "b": [2.5]}
    assert_type(multiprocessing.share(table), dict[str, list[float]])
    assert_type(multiprocessing.share(b"text", writable=True), memoryview)
    assert_type(multiprocessing.share(bytearray(3)), memoryview)
    with multiprocessing.Pool(1) as workers:
        assert_type(workers.share(Point(), writable=True), Point)
        assert_type(workers.share(memoryview(b"text")), memoryview)
        assert_type(workers.map(length, workers.share(["a"])), list[int])


def served() -> None:
    with multiprocessing.Manager() as manager:
        assert_type(manager, managers.SyncManager)
        table = manager.dict({"a": 1})
        assert_type(table, managers.DictProxy[str, int])
        assert_type(table["a"], int)
        assert_type(table.get("b"), int | None)
        numbers = manager.list(range(3))
        numbers.append(1)
        assert_type(numbers[0], int)
        assert_type(manager.set(["a"]), managers.SetProxy[str])
        assert_type(manager.Value("i", 1).value, int)
        manager.Namespace(x=1).y = 2
        with manager.Lock():
            manager.Queue().put(1)
        assert_type(manager.Barrier(2).wait(), int)
    with managers.SharedMemoryManager() as memory:
        assert_type(memory.SharedMemory(10), shared_memory.SharedMemory)
        assert_type(memory.ShareableList([1, 2])[0], int)

    class Own(managers.BaseManager):
        pass

    Own.register("Thing", dict, exposed=["get"])


def executors() -> None:
    with futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        future = executor.submit(add, 1, b=2)
        assert_type(future, Future[float])
        assert_type(list(executor.map(length, ["a"], buffersize=3)), list[int])
        asyncio.wrap_future(future)


def errors() -> None:
    try:
        pass
    except procession.TaskTimeout as late:
        assert_type(late, procession.TaskTimeout)
        ours: multiprocessing.TimeoutError = late
        print(ours)
    except (procession.WorkerDied, procession.PoolTerminated, multiprocessing.ProcessError):
        pass


def anything() -> Any:
    return multiprocessing.get_logger()


def around() -> None:
    procession.install()
    ended = procession.util.Finalize(None, length, args=("a",), exitpriority=1)
    assert_type(ended(), int | None)
    procession.util.register_after_fork(ended, lambda finalizer: finalizer.cancel())
    procession.reduction.ForkingPickler.register(Point, lambda point: (Point, (point.x,)))
