"""Every kind of wait in a program whose threads are green, by gevent: every_kind.py METHOD before|after

Where procession is imported `before` all is patched, `select` and `os` have what eventlet puts there, too.
"""

import sys
from pathlib import Path

METHOD, WHEN = sys.argv[1:]
if WHEN == "before":
    import procession

from gevent import monkey  # noqa: E402

monkey.patch_all()
if WHEN == "before":
    sys.path.insert(0, str(Path(__file__).parent))
    import as_eventlet

    as_eventlet.patch()

import socket  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

import procession  # noqa: E402, F811
from procession.connection import wait  # noqa: E402
from procession.futures import ProcessPoolExecutor  # noqa: E402


def square(n):
    return n * n


def pause(n):
    time.sleep(0.001)
    return n


def answer(connection):
    connection.send(connection.recv() + 1)


def ask(port):
    """Ask a server that is a green thread of the parent."""
    with socket.create_connection(("localhost", port), timeout=60) as client:
        return client.recv(10)


def serve(listener):
    while True:
        client, _ = listener.accept()
        client.sendall(b"served")
        client.close()


def pools(context, port):
    called = threading.Event()
    found = []
    with context.Pool(2) as pool:
        assert pool.map(square, range(50)) == [n * n for n in range(50)]
        assert list(pool.imap(square, (pause(n) for n in range(5)))) == [0, 1, 4, 9, 16]
        pool.apply_async(square, (7,), callback=lambda value: (found.append(value), called.set()))
        assert called.wait(60) and found == [49]
        assert pool.apply(ask, (port,)) == b"served"
        threads = [threading.Thread(target=lambda n=n: found.append(pool.map(pause, range(n)))) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(found[1:]) == [list(range(n)) for n in range(6)]
    with ProcessPoolExecutor(2, context) as executor:
        assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
        assert executor.submit(ask, port).result(60) == b"served"


def processes(context, port):
    child = context.Process(target=ask, args=(port,))
    child.start()
    child.join()
    assert child.exitcode == 0, child.exitcode
    ours, theirs = context.Pipe()
    child = context.Process(target=answer, args=(theirs,))
    child.start()
    ours.send(1)
    assert ours.recv() == 2
    assert wait([child.sentinel], 60)
    child = context.Process(target=sys.exit, args=(3,))
    child.start()
    child.join(60)
    assert child.exitcode == 3, child.exitcode


def managers(context, port):
    with context.Manager() as manager:
        shared, queue = manager.dict(), manager.Queue()
        getter = threading.Thread(target=lambda: shared.update(got=queue.get()))
        getter.start()
        queue.put(5)
        getter.join(60)
        assert shared.copy() == {"got": 5}


def main():
    context = procession.get_context(METHOD)
    listener = socket.create_server(("localhost", 0))
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    for kind in (pools, processes, managers):
        kind(context, listener.getsockname()[1])
    print("all work")


if __name__ == "__main__":
    main()
