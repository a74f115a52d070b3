"""What every crew has to do, as functions: each gets a function that makes a pool, and what its crew offers."""

import asyncio
import itertools
import os
import time
from pathlib import Path

import procession
import pytest
from procession.pool import PoolStats

LIMIT_S = 60


class Guilty(Exception):
    pass


def double(number):
    return 2 * number


def fail_at_three(number):
    if number == 3:
        raise Guilty(number)
    return 2 * number


def fail(number):
    raise Guilty(number)


def leave(code):
    raise SystemExit(code)


known = None


def know(value):
    global known
    known = value


def what_is_known(_=None):
    return known


def fail_to_begin():
    raise Guilty("begin")


def fail_at_first(path):
    """Fail once for each path."""
    if not os.path.exists(path):
        Path(path).touch()
        raise Guilty(path)
    return path


def nap(seconds):
    time.sleep(seconds)


def length_and_first(data):
    return len(data), data[0]


def offered(offers, what, call, *arguments, **options):
    """Call what a crew may not offer: None, and the refusal checked, where it does not."""
    if what in offers:
        return call(*arguments, **options)
    with pytest.raises(NotImplementedError, match=what):
        call(*arguments, **options)
    return None


def calls(make, offers, directory):
    with make() as pool:
        assert pool.apply(double, (4,)) == 8 and pool.apply(int, ("ff",), {"base": 16}) == 255
        seen = []
        result = pool.apply_async(double, (5,), callback=seen.append, error_callback=seen.append)
        assert result.get(LIMIT_S) == 10 and result.ready() and result.successful() and seen == [10]
        result = pool.apply_async(fail, (5,), callback=seen.append, error_callback=seen.append)
        result.wait(LIMIT_S)
        assert result.ready() and not result.successful() and isinstance(seen[1], Guilty)
        for wait in (result.get, lambda: pool.apply(fail, (5,))):
            with pytest.raises(Guilty, match="5"):
                wait()
        with pytest.raises(SystemExit):
            pool.apply(leave, (3,))
        assert not result.cancel()


def maps(make, offers, directory):
    with make() as pool:
        for chunksize in (None, 1, 3, 1000):
            assert pool.map(double, range(50), chunksize) == [2 * n for n in range(50)]
            assert pool.starmap(divmod, [(7, 2), (9, 4)], chunksize) == [(3, 1), (2, 1)]
        assert pool.map(double, (n for n in (3, 4))) == [6, 8] and pool.map(double, []) == pool.map(double, ()) == []
        seen = []
        result = pool.map_async(double, [1, 2, 3], 1, seen.append)
        assert result.get(LIMIT_S) == [2, 4, 6] and result._core.counts() == (3, 3) and seen == [[2, 4, 6]]
        assert pool.starmap_async(pow, [(2, 3)]).get(LIMIT_S) == [8] and pool.map_async(double, []).get(LIMIT_S) == []
        result = pool.map_async(fail_at_three, range(6), 1, None, seen.append)
        with pytest.raises(Guilty, match="3"):
            result.get(LIMIT_S)
        assert isinstance(seen[1], Guilty)
        with pytest.raises(Guilty, match="0"):
            pool.map(fail, range(6), 1)
        with pytest.raises(TypeError):
            pool.map(double, 5)


def lazy_maps(make, offers, directory):
    with make() as pool:
        for chunksize in (1, 4):
            assert list(pool.imap(double, iter(range(20)), chunksize)) == [2 * n for n in range(20)]
            assert sorted(pool.imap_unordered(double, range(20), chunksize)) == [2 * n for n in range(20)]
            results = pool.imap(fail_at_three, range(6), chunksize)
            assert [next(results) for _ in range(3)] == [0, 2, 4]
            with pytest.raises(Guilty):
                next(results)
            assert list(results) == [8, 10]
        assert list(pool.imap(double, [])) == []
        results = pool.imap(double, [1, 2])
        assert [results.next(LIMIT_S), results.next(timeout=LIMIT_S)] == [2, 4]
        assert results._core.counts() == (2, 2)
        with pytest.raises(StopIteration):
            results.next()
        results = pool.imap(double, (6 // (3 - n) for n in range(9)))
        assert [next(results) for _ in range(3)] == [4, 6, 12]
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []
        results = pool.imap(double, (6 // (3 - n) for n in range(9)), 2)
        assert [next(results), next(results)] == [4, 6]
        with pytest.raises(ZeroDivisionError):
            next(results)
        assert list(results) == []


def endless_maps(make, offers, directory):
    taken = []

    def numbers():
        try:
            for number in itertools.count():
                taken.append(number)
                yield number
        finally:
            taken.append("closed")

    with make() as pool:
        for read in (pool.imap, pool.imap_unordered):
            taken.clear()
            results = read(double, numbers(), buffersize=3)
            got = []
            for _ in range(10):
                got.append(next(results))
                assert len(taken) <= len(got) + 3
            assert sorted(got) == [2 * n for n in range(10)] or read == pool.imap_unordered
            results.close()
            assert taken[-1] == "closed" and list(results) == []
        results = pool.imap(double, itertools.count())
        assert [next(results) for _ in range(2000)] == [2 * n for n in range(2000)]
        del results
        assert pool.apply(double, (1,)) == 2


def awaiting(make, offers, directory):
    async def program(pool):
        assert await pool.apply_async(double, (1,)) == 2
        several = asyncio.gather(*(pool.apply_async(double, (n,)) for n in (1, 2)), pool.map_async(double, [3]))
        assert await several == [2, 4, [6]]
        assert [number async for number in pool.imap(double, iter(range(100)), 5)] == [2 * n for n in range(100)]
        with pytest.raises(Guilty):
            await pool.apply_async(fail, (1,))

    with make() as pool:
        asyncio.run(asyncio.wait_for(program(pool), LIMIT_S))


def ends(make, offers, directory):
    pool = make()
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    later, unread = pool.map_async(double, range(20), 1), pool.imap(double, iter(range(20)))
    pool.close()
    for call in (pool.apply, pool.apply_async, pool.map, pool.imap):
        with pytest.raises(ValueError, match="Pool not running"):
            call(double, (1,))
    pool.join()
    assert later.get(LIMIT_S) == list(unread) == [2 * n for n in range(20)]
    pool = make()
    done, lazy = pool.apply_async(double, (1,)), pool.imap(double, itertools.count())
    assert done.get(LIMIT_S) == 2
    pool.terminate()
    pool.join()
    with pytest.raises(procession.PoolTerminated):
        for _ in lazy:
            pass
    with pytest.raises(ValueError, match="Pool not running"):
        pool.map(double, [1])
    assert "TERMINATE" in repr(pool)


def beginnings(make, offers, directory):
    with make(initializer=know, initargs=("this",)) as pool:
        assert pool.map(what_is_known, range(20), 1) == ["this"] * 20
    know(None)
    with make(initializer=fail_to_begin) as pool:
        for call in (pool.apply, pool.map, lambda f, items: pool.imap(f, items).next(LIMIT_S)):
            with pytest.raises(Guilty, match="begin"):
                call(double, (1,))
    for wrong, error in (({"initializer": 3}, TypeError), ({"processes": 0}, ValueError)):
        with pytest.raises(error):
            make(**wrong)


def wishes(make, offers, directory):
    with make() as pool:
        for number, call in enumerate((pool.apply, lambda f, a, **o: pool.apply_async(f, a, **o).get(LIMIT_S))):
            path = os.path.join(directory, f"call{number}")
            assert offered(offers, "retries", call, fail_at_first, (path,), retries=1, retry_on=Guilty) in (path, None)
        for number, call in enumerate((pool.map, lambda *a, **o: list(pool.imap(*a, **o)))):
            paths = [os.path.join(directory, f"map{number}{place}") for place in range(4)]
            found = offered(offers, "retries", call, fail_at_first, paths, retries=1, retry_on=Guilty)
            assert found in (paths, None)
        for call in (pool.apply, pool.map):
            with pytest.raises(TypeError, match="retry_on"):
                call(double, (1,), retry_on="oops")
            if "timeout" in offers:
                with pytest.raises(procession.TaskTimeout):
                    call(nap, (1,), timeout=0.1)
                assert call(double, (1,), timeout=LIMIT_S) in (2, [2])
            else:
                offered(offers, "timeout", call, double, (1,), timeout=LIMIT_S)


def reports(make, offers, directory):
    with make() as pool:
        pool.map(double, range(4))
        stats = offered(offers, "stats", pool.stats)
        assert stats is None or (isinstance(stats, PoolStats) and stats.done == 4)
        stacks = offered(offers, "stacks", pool.dump_stacks)
        assert stacks is None or isinstance(stacks, str)
        assert pool.apply(length_and_first, (pool.share(b"x" * 100_000),)) == (100_000, ord("x"))
        if pool._crew.shares_memory:
            writable = pool.share(bytearray(b"x" * 100_000), writable=True)
            writable[0] = ord("y")
            assert pool.apply(length_and_first, (writable,)) == (100_000, ord("y"))
        else:
            with pytest.raises(NotImplementedError, match="within one machine only"):
                pool.share(bytearray(b"x" * 100_000), writable=True)
        assert f"pool_size={len(pool._pool)}" in repr(pool)
        shown = repr(pool)
    pool.join()
    assert repr(pool) == shown.replace("RUN", "TERMINATE")  # its size is still that of the pool that it was


def wrong_arguments(make, offers, directory):
    with make() as pool:
        for call in (pool.map, pool.starmap, pool.imap, pool.imap_unordered):
            with pytest.raises(ValueError, match="chunksize"):
                call(double, [1], chunksize=0)
        with pytest.raises(ValueError, match="buffersize"):
            pool.imap(double, [1], buffersize=0)
        for name in ("callback", "error_callback"):
            for call in (pool.apply_async, pool.map_async, pool.starmap_async):
                with pytest.raises(TypeError, match=f"{name} must be a callable or None, not 3"):
                    call(double, (1,), **{name: 3})
        with pytest.raises(NotImplementedError):
            pool.__reduce__()


def options(make, offers, directory):
    wanted: dict = {
        "maxtasksperchild": 5,
        "max_age": 60,
        "max_memory": "4GB",
        "env": {"OF_A_CREW": "1"},
        "nice": 1,
        "cpu_affinity": [min(os.sched_getaffinity(0))],
        "forward_logs": False,
        "capture_output": True,
    }
    for option in sorted(wanted.keys() - offers):
        offered(offers, option, make, **{option: wanted.pop(option)})
    with make(**wanted) as pool:
        assert pool.map(double, range(3)) == [0, 2, 4]
    pool.join()


CHECKS = [
    calls, maps, lazy_maps, endless_maps, awaiting, ends, beginnings, wishes, reports, wrong_arguments, options,
]  # fmt: skip
