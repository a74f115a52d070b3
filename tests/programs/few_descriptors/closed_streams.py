"""Closes the standard streams, as daemons do, uses every kind of object, and tells what took their numbers."""

import os
import sys

import procession
from procession import shared_memory


def streams(*_):
    """Return what lies at the numbers of the standard streams."""
    found = {}
    for number in (0, 1, 2):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    return found


def tell(queue, pipe):
    queue.put("from a child")
    pipe.send(streams())


def use(method):
    ctx = procession.get_context(method)
    ours, theirs = ctx.Pipe()
    queue, value, lock, simple = ctx.Queue(), ctx.Value("i", 1), ctx.Lock(), ctx.SimpleQueue()
    memory = shared_memory.SharedMemory(create=True, size=1)
    child = ctx.Process(target=tell, args=(queue, theirs))
    child.start()
    assert queue.get(timeout=60) == "from a child"
    found = [streams(), ours.recv()]
    child.join()
    with ctx.Pool(2) as pool, ctx.Manager() as manager:
        shared = manager.list()
        found += pool.map(streams, range(2), 1)
        pool.apply(shared.append, (1,))
        assert list(shared) == [1]
        found.append(streams())
    memory.close()
    memory.unlink()
    assert (child.exitcode, value.value) == (0, 1)
    del lock, simple
    return found


def main(method, path):
    os.closerange(0, 3)
    told = f"failed: {sys.exc_info()}"
    try:
        found = use(method)
        told = [{number: file for number, file in each.items() if file != "/dev/null"} for each in found]
    except BaseException as error:
        told = f"{type(error).__name__}: {error}"
    finally:
        with open(path, "w") as file:
            file.write(str(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
