"""Makes many pools of two workers at once, uses each, and says what they cost this process and the machine.

`python tests/programs/few_descriptors/many_pools.py METHOD POOLS`
"""

import resource
import sys
import time

import procession
import psutil


def held():
    """Return descriptors, threads, resident and mapped bytes of this process."""
    me = psutil.Process()
    memory = me.memory_info()
    return me.num_fds(), me.num_threads(), memory.rss, memory.vms


def main(method, count):
    ctx, count = procession.get_context(method), int(count)
    first = ctx.Pool(1)  # with helpers that all have in common
    first.terminate()
    first.join()
    helpers = {child.pid for child in psutil.Process().children()}
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    before, begin = held(), time.monotonic()
    pools = [ctx.Pool(2) for _ in range(count)]
    started = time.monotonic()
    for number, pool in enumerate(pools):
        assert pool.map(abs, [-number] * 4) == [number] * 4
    used, after = time.monotonic(), held()
    private = sum(
        psutil.Process(worker.pid).memory_full_info().uss for pool in pools[:10] for worker in pool._pool
    ) / sum(len(pool._pool) for pool in pools[:10])
    ending = time.monotonic()
    for pool in pools:
        pool.terminate()
    for pool in pools:
        pool.join()
    end = time.monotonic()
    descriptors, threads, resident, mapped = ((a - b) / count for a, b in zip(after, before, strict=True))
    left = held()
    print(f"{count} pools of 2 by {method}")
    print(f"each: {descriptors:g} descriptors, {threads:g} threads, {mapped / 2**20:.0f} MiB of address space")
    print(f"each: {resident / 2**20:.2f} MiB of memory here, {private / 2**20:.1f} MiB of its own in each worker")
    print(f"each: {1e3 * (started - begin) / count:.1f} ms to start, {1e3 * (used - started) / count:.1f} ms to use")
    print(f"each: {1e3 * (end - ending) / count:.1f} ms to end")
    workers = [child for child in psutil.Process().children() if child.pid not in helpers]
    print(f"left: {left[0] - before[0]} descriptors, {left[1] - before[1]} threads, {len(workers)} processes")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limit


if __name__ == "__main__":
    main(*sys.argv[1:])
