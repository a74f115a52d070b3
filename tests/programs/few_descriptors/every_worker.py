"""Makes a pool of as many workers as the second argument says, by the start method that the first one names."""

import resource
import sys

import procession


def limit(_=None):
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def main(method, workers):
    ctx = procession.get_context(method)
    before = limit()
    with ctx.Pool(int(workers)) as pool:
        assert pool.map(limit, range(50), 1) == [before] * 50, "workers have the usual limit"
        child = ctx.Process(target=sys.exit, args=(3,))
        child.start()
        child.join()
        queue = ctx.Queue()
        queue.put(pool.apply(limit))
        assert (child.exitcode, queue.get(timeout=60)) == (3, before)
    pool.join()
    assert limit() == before, "and this process again"
    print("all work")


if __name__ == "__main__":
    main(*sys.argv[1:])
