"""A program that finishes its work when it is asked to end; its arguments name the start method and the signal."""

import signal
import sys
import time

import procession
from procession import shared_memory

ITEMS = 100


def square(x):
    time.sleep(0.02)
    return x * x


def main(method, name):
    asked = []
    signal.signal(getattr(signal, name), lambda *_: asked.append(name))
    ctx = procession.get_context(method)
    memory = shared_memory.SharedMemory(create=True, size=1)  # has the tracker begin
    executor = procession.futures.ProcessPoolExecutor(1, mp_context=ctx)
    with ctx.Manager() as manager, ctx.Pool(2) as pool, executor:
        counted = manager.list()
        results = pool.imap(square, range(ITEMS), 1)
        squares = [next(results)]
        sums = [executor.submit(square, 12).result()]
        print("working", flush=True)
        squares += [next(results) for _ in range(ITEMS // 2)]
        while not asked:
            time.sleep(0.01)
        squares += results
        counted.append(len(squares))
        sums.append(executor.submit(square, 3).result())
        late = ctx.Process(target=square, args=(1,))  # the forkserver serves on
        late.start()
        late.join()
        whole = squares == [x * x for x in range(ITEMS)]
        print(whole, sums, list(counted), late.exitcode, pool.stats().deaths, asked)
    memory.close()
    memory.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
