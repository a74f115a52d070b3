"""Lines that a type checker has to refuse: those that end with a comment that names the kind of error."""

import procession
from procession import connection, futures, queues
from procession.pool import AsyncResult


def length(text: str) -> int:
    return len(text)


def add(a: int, b: int = 1) -> int:
    return a + b


with procession.Pool(2) as pool:
    pool.map(length, [1, 2])  # refused: arg-type
    pool.map(length)  # refused: call-overload
    pool.map(3, ["a"])  # refused: call-overload
    wrong: list[str] = pool.map(length, ["a"])  # refused: arg-type
    late: AsyncResult[str] = pool.apply_async(length, ("a",))  # refused: arg-type
    pool.apply(length, ("a",), timeout="soon")  # refused: arg-type
    pool.imap(length, ["a"], buffer_size=3)  # refused: call-overload
    pool.resize("two")  # refused: arg-type
    pool.map(length, ["a"], order="shortest")  # refused: call-overload

with futures.ProcessPoolExecutor("two") as executor:  # refused: arg-type
    executor.submit(add, "1")  # refused: arg-type
    executor.submit(add, 1, c=2)  # refused: call-arg

queue: queues.Queue[int] = procession.Queue()
queue.put("text")  # refused: arg-type
text: str = queue.get()  # refused: assignment
procession.Queue("many")  # refused: arg-type

procession.Process(print)  # refused: arg-type
procession.Process(target=3)  # refused: arg-type
procession.Process(target=print, colour="red")  # refused: call-arg
procession.Process(target=print).exitcode = 3  # refused: misc
procession.get_context("spoon").Procces(target=print)  # refused: union-attr
procession.set_forkserver_preload(["os"], on_error="shout")  # refused: arg-type

counter = procession.Value("i", 0)
counter.value = "one"  # refused: assignment
procession.Array("d", [1.0])[0] + "y"  # refused: operator

ours, theirs = procession.Pipe()
ours.send_bytes("text")  # refused: arg-type
connection.Client(3)  # refused: arg-type
procession.Lock().acquire(timeout="long")  # refused: arg-type

with procession.Manager() as manager:
    table = manager.dict({"a": 1})
    table["b"] = "two"  # refused: assignment
    manager.list([1]).append("x")  # refused: arg-type
    manager.Stack()  # refused: attr-defined

procession.reduction.ForkingPickler.register(3, repr)  # refused: arg-type
procession.install("now")  # refused: call-arg

rows: list[str] = procession.share([1])  # refused: list-item
view: bytes = procession.share(b"text")  # refused: assignment
procession.share([1], writeable=True)  # refused: call-overload
