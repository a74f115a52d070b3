"""Items of a map that are pickled together, as far as a chunk of multiprocessing goes: each still stands alone."""

import collections
import concurrent.futures
import gc
import itertools
import os
import signal
import time
import weakref
from operator import itemgetter

import procession
import pytest
from procession import reduction, resource_sharer
from procession._objects import main_module

WORKERS = 2


class Counted:
    """Counts in itself how often it was used, and in its class how often it was pickled."""

    pickled = 0

    def __init__(self, size=0):
        self.uses = 0
        self.names = [str(number) for number in range(size)]

    def __getstate__(self):
        Counted.pickled += 1
        return self.__dict__

    def use(self):
        self.uses += 1
        return self.uses


class Unloadable:
    def __reduce__(self):
        return int, ("no number",)


class Interrupting:
    """Ctrl-C comes once while it is pickled."""

    armed = False

    def __init__(self, size):
        self.names = [str(number) for number in range(size)]

    def __getstate__(self):
        if Interrupting.armed:
            Interrupting.armed = False
            os.kill(os.getpid(), signal.SIGINT)
        return self.__dict__


class Reported:
    """Counts how many there are."""

    alive = 0

    def __init__(self):
        self.names = [str(number) for number in range(2000)]

    def __setstate__(self, state):
        Reported.alive += 1
        vars(self).update(state)

    def __del__(self):
        Reported.alive -= 1


class Numbered:
    """Is pickled by its own code."""

    def __init__(self, number):
        self.names = [str(number)]

    def __getstate__(self):
        return self.names

    def __setstate__(self, names):
        self.names = names


class Calling:
    """Calls something while it is pickled."""

    call = None

    def __init__(self, writer=None):
        self.writer = writer
        self.names = [str(number) for number in range(2000)]

    def __getstate__(self):
        Calling.call()
        return self.__dict__


class Token:
    """Given out once each time it is pickled."""


class Unpicklable:
    def __reduce__(self):
        raise ValueError("this is not to be pickled")


def use(counted):
    return counted.use()


def use_with(index, counted, more=None):
    return index, counted.use()


def alive(_item=None):
    return Reported.alive


def fail_once(marker, counted):
    uses = counted.use()
    if marker is not None and not marker.exists():
        marker.touch()
        raise OSError("the first time")
    return uses


def write(index, calling):
    calling.writer.send(index)


def is_part(part, whole):
    return whole.parts[0] is part


def send(index, connection_and_names):
    connection_and_names[0].send(index)


def total(row, table):
    table["rows"] += row.sum()
    return table["numbers"].sum() + len(table["names"])


def give(value):
    return value


gates = []


def keep_gate(gate):
    gates[:] = [gate]


def wait(*_values):
    gates[0].wait()


def give_all(*values):
    return values[0]


def kill_at(item):
    index, _ = item
    if index == 31:
        os.kill(os.getpid(), signal.SIGKILL)
    return index


# From some size on, a pickle is made only once.
sizes = pytest.mark.parametrize("size", [0, 2000])


@sizes
def test_few_items_share_nothing(context, size):
    with context.Pool(WORKERS) as pool:
        assert pool.map(use, [Counted(size)] * 4 * WORKERS) == [1] * 4 * WORKERS
        assert pool.map(use, [Counted(size)] * 100, chunksize=1) == [1] * 100
        assert list(pool.imap(use, [Counted(size)] * 100)) == [1] * 100
    pool.join()


@sizes
def test_many_items_share_what_they_share_in_a_chunk_of_multiprocessing(context, size):
    count = 1000
    chunk = count // (4 * WORKERS)
    counted = Counted(size)
    with context.Pool(WORKERS) as pool:
        uses = pool.map(use, [counted] * count)
        assert all(used <= 1 + index % chunk for index, used in enumerate(uses))
        uses = pool.starmap(use_with, [(index, counted, "more" * 5000) for index in range(count)])
        assert all(place == index and used <= 1 + index % chunk for index, (place, used) in enumerate(uses))
    pool.join()


def use_slowly(index, counted):
    if index % 40 == 7:
        time.sleep(0.01)  # after quick ones: those behind it go back and come again, when others may have run
    return counted.use()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_comes_again_sees_nothing_of_those_behind_it(context, workers):
    count = 600
    chunk = count // (4 * workers)
    with context.Pool(workers) as pool:
        pool.map(abs, range(count))  # so that many short tasks travel together
        for _ in range(2):
            uses = pool.starmap(use_slowly, [(index, counted) for counted in [Counted(2000)] for index in range(count)])
            assert [(index, used) for index, used in enumerate(uses) if used > 1 + index % chunk] == []
            uses = pool.map(SlowlyCounting(), range(count))
            assert [(index, used) for index, used in enumerate(uses) if used > 1 + index % chunk] == []
    pool.join()


class SlowlyCounting(Counted):
    """A function that changes with each call."""

    def __call__(self, index):
        return use_slowly(index, self)


def test_what_many_items_have_in_common_is_pickled_once(context, monkeypatch):
    monkeypatch.setattr(Counted, "pickled", 0)
    counted = Counted(2000)
    with context.Pool(WORKERS) as pool:
        pool.starmap(use_with, [(index, counted) for index in range(500)])
        assert Counted.pickled <= 2
        pool.map(use, [counted] * 4 * WORKERS)
        assert Counted.pickled <= 5
        counted.uses = 7
        assert pool.map(use, [counted] * 2) == [8, 8]
    pool.join()


def test_a_part_of_what_items_have_in_common_stays_a_part_of_it(context):
    whole = Counted(2000)
    whole.parts = [bytearray(b"part"), [1]]
    with context.Pool(WORKERS) as pool:
        assert all(pool.starmap(is_part, [(whole.parts[0], whole)] * 100))
        whole.parts.reverse()
        assert all(pool.starmap(is_part, [(whole.parts[0], whole)] * 100))
    pool.join()


def test_arrays_beside_and_in_what_items_have_in_common(context):
    numpy = pytest.importorskip("numpy")
    table = {"numbers": numpy.arange(50_000), "names": [str(n) for n in range(2000)], "rows": 0}
    with context.Pool(WORKERS) as pool:
        for width in (3, 10_000):
            rows = numpy.ones((100, width))
            assert pool.starmap(total, [(row, table) for row in rows]) == [sum(range(50_000)) + 2000] * 100
    pool.join()
    assert table["rows"] == 0


def test_a_descriptor_in_what_items_have_in_common_comes_to_each_of_them(context):
    reader, writer = context.Pipe(False)
    both = (writer, [str(n) for n in range(2000)])
    with context.Pool(WORKERS) as pool:
        pool.starmap(send, [(index, both) for index in range(20)])
    pool.join()
    assert sorted(reader.recv() for _ in range(20)) == list(range(20))
    reader.close()
    writer.close()
    resource_sharer.stop()


def test_what_items_had_in_common_is_gone_when_the_next_job_runs(context, monkeypatch):
    # This process counts only those that go.
    monkeypatch.setattr(Reported, "alive", 0)
    with context.Pool(1) as pool:
        before = pool.apply(alive)  # a forked worker has the parent's count
        shared = Reported()
        pool.starmap(give_all, [(index, shared) for index in range(100)])
        assert pool.map(alive, range(3)) == [before] * 3
    pool.join()


@sizes
def test_an_item_that_is_tried_again_does_not_see_what_it_changed_before(context, size, tmp_path):
    counted = Counted(size)
    with context.Pool(1) as pool:
        items = [(None, counted), (tmp_path / "marker", counted)]
        assert pool.starmap(fail_once, items, chunksize=1, retries=1, retry_on=OSError) == [1, 1]
    pool.join()


@pytest.mark.parametrize("is_importable", [True, False])
def test_a_registered_reducer_is_called_for_each_item_alone(context, monkeypatch, is_importable):
    numbers = itertools.count()
    monkeypatch.setitem(reduction.ForkingPickler._extra_reducers, Token, lambda _: (int, (next(numbers),)))
    monkeypatch.setattr(main_module, "main_is_importable", lambda: is_importable)
    common = (Token(), [str(n) for n in range(2000)])
    with context.Pool(WORKERS) as pool:
        values = pool.map(itemgetter(0), [common] * 4 * WORKERS, chunksize=1)
    pool.join()
    assert len(set(values)) == 4 * WORKERS


def test_what_items_of_a_job_that_has_ended_have_in_common_is_let_go(context, monkeypatch):
    first, second = Counted(2000), Calling()
    last = weakref.ref(second)
    gate = context.Event()
    monkeypatch.setattr(Calling, "call", lambda: handle.cancel())
    with context.Pool(1, keep_gate, (gate,)) as pool:
        # The second is pickled when some of the first are done.
        handle = pool.starmap_async(wait, [(n, first) for n in range(5000)] + [(n, second) for n in range(5000)])
        del second
        gate.set()
        with pytest.raises(concurrent.futures.CancelledError):
            handle.get()
        gc.collect()
        assert last() is None
    pool.join()


def test_a_descriptor_comes_to_each_item_whatever_runs_while_it_is_pickled(context, monkeypatch):
    reader, writer = context.Pipe(False)
    names = [str(n) for n in range(2000)]
    with context.Pool(1) as inner, context.Pool(WORKERS) as pool:
        monkeypatch.setattr(Calling, "call", lambda: inner.map(len, [names] * 20))
        calling = Calling(writer)
        pool.starmap(write, [(index, calling) for index in range(20)])
    inner.join()
    pool.join()
    assert sorted(reader.recv() for _ in range(20)) == list(range(20))
    reader.close()
    writer.close()
    resource_sharer.stop()


def test_what_items_have_in_common_and_cannot_be_rebuilt_fails_each_of_them(context):
    with context.Pool(WORKERS) as pool:
        with pytest.raises(ValueError, match="no number"):
            pool.starmap(use_with, [(index, [Unloadable(), "x" * 10_000]) for index in range(3)])
        common = [Unloadable(), [str(n) for n in range(2000)]]
        with pytest.raises(ValueError, match="no number"):
            pool.starmap(use_with, [(index, common) for index in range(100)])
        assert pool.starmap(use_with, [(1, Counted())]) == [(1, 1)]
    pool.join()


def test_what_has_run_of_a_group_is_let_go(context):
    with context.Pool(1) as pool:
        before = pool.apply(alive)  # a forked worker has the parent's count
        chunk = 40 // (4 * 1)
        now = pool.map(alive, [Reported() for _ in range(4 * chunk)])
    pool.join()
    assert all(before < count <= before + chunk - at % chunk for at, count in enumerate(now))


def stop_at_seven(item):
    if item.names[0] == "7":
        raise StopIteration
    return item.names[0]


def test_a_task_of_a_group_that_raises_stop_iteration_fails_alone(context):
    items = [Numbered(at) for at in range(40)]
    with context.Pool(2) as pool:
        results = pool.map(stop_at_seven, items, on_error="return")
    pool.join()
    assert [at for at, result in enumerate(results) if result != str(at)] == [7]
    assert isinstance(results[7].exception, StopIteration)


def test_values_of_many_kinds_come_back_in_order(context):
    kinds = [
        lambda n: range(n),
        lambda n: {"n": n},
        lambda n: [n],
        lambda n: {n},
        str,
        int,
        complex,
        lambda n: {n: [(n,)]},
    ]
    values = [kinds[n % len(kinds)](n) for n in range(2000)]
    with context.Pool(WORKERS) as pool:
        assert pool.map(give, values) == values
        assert pool.starmap(max, [(n, [n])[:1] * 2 for n in range(300)]) == list(range(300))
    pool.join()


def test_lists_and_dicts_are_copies_and_keep_what_is_one_object(context):
    inner, loop = [1], []
    loop.append(loop)
    with context.Pool(WORKERS) as pool:
        for value in ([inner, inner], {"one": inner, "other": inner}, (inner, [inner]), [{"a": inner}, inner]):
            first, second = leaves(pool.apply(give, (value,)))
            assert first is second and first is not inner
        back = pool.apply(give, (loop,))
        assert back[0] is back
        assert pool.apply(dict, kwds={"a": [1, {}]}) == {"a": [1, {}]}
        assert [type(value) for value in pool.map(give, [collections.OrderedDict(), MyList(), {}, []])] == [
            collections.OrderedDict,
            MyList,
            dict,
            list,
        ]
        assert list(pool.apply(give, ({"b": 1, "a": 2},))) == ["b", "a"]
    pool.join()


def leaves(value):
    if value == [1]:
        return [value]
    return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in leaves(item)]


class MyList(list):
    pass


def test_an_item_that_cannot_be_pickled_fails_alone(context):
    items = [range(n) for n in range(100)]
    items[40] = Unpicklable()
    with context.Pool(WORKERS) as pool:
        with pytest.raises(ValueError, match="this is not to be pickled"):
            pool.map(give, items)
        assert pool.map(len, items[:40]) == list(range(40))
    pool.join()


def test_an_item_that_cannot_be_rebuilt_fails_alone(context):
    items = [range(n) for n in range(100)]
    items[40] = Unloadable()
    with context.Pool(WORKERS) as pool:
        with pytest.raises(ValueError, match="no number"):
            pool.map(give, items)
        done = []
        pool.map_async(give, items, error_callback=done.append).wait()
        assert str(done[0]).startswith("invalid literal")
        assert pool.map(len, items[:40]) == list(range(40))
    pool.join()


@sizes
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("count", [1, 3, 100])
def test_an_interrupt_while_items_are_pickled_is_the_callers(context, size, repeated, count):
    items = [Interrupting(size)] * count if repeated else [Interrupting(size) for _ in range(count)]
    with context.Pool(WORKERS) as pool:
        for call in (pool.map, pool.imap, pool.starmap):
            Interrupting.armed = True
            with pytest.raises(KeyboardInterrupt):
                list(call(give, [(item,) for item in items] if call == pool.starmap else items))
        assert pool.map(len, [range(n) for n in range(40)]) == list(range(40))
    pool.join()


def test_an_interrupt_while_items_are_pickled_comes_to_its_handler_once(context):
    came = []

    def interrupt(number, _frame):
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with context.Pool(WORKERS) as pool:
            Interrupting.armed = True
            with pytest.raises(KeyboardInterrupt):
                pool.map(give, [Interrupting(0) for _ in range(100)])
            assert pool.apply(abs, (-1,)) == 1
        pool.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert came == [signal.SIGINT]


def test_a_worker_that_dies_takes_one_item_with_it(context):
    with context.Pool(WORKERS) as pool:
        with pytest.raises(procession.WorkerDied, match=r"kill_at\(\(31, range\(0, 31\)\)\)"):
            pool.map(kill_at, [(n, range(n)) for n in range(100)])
        assert pool.map(kill_at, [(n, range(n)) for n in range(31)]) == list(range(31))
    pool.join()
