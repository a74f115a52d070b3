"""Frames of a stand-in for polars as arguments, results, items and messages: no reducer of theirs is called."""

import array
import gc
import os
import signal

import nanoarrow
import polars
import procession

COUNT = 5_000


def frame():
    texts = ["short", None, "a text that is longer than a word " * 3] * COUNT
    lists = nanoarrow.list_(nanoarrow.int32())
    pair = nanoarrow.c_array_from_buffers(
        lists,
        3 * COUNT,
        [None, array.array("i", range(0, 6 * COUNT + 1, 2))],
        children=[nanoarrow.c_array([1, 2] * 3 * COUNT, nanoarrow.int32())],
    )
    columns = {
        "a": (nanoarrow.float64(), [0.5, 1.5, 2.5] * COUNT),
        "b": (nanoarrow.string(), texts),
        "c": (nanoarrow.bool_(), [True, False, None] * COUNT),
        "d": (None, pair),
    }
    return polars.DataFrame(columns, {"a": {"SORTED_ASC": True}})


def same(value):
    return value


def told(value):
    rows = value.rows()
    return type(value).__name__, len(rows), rows[1], rows[-1], value.schema, value.flags, value.chunk_lengths()


def tell(value, connection):
    connection.send((told(value), value))


def die(value):
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    value = frame()
    expected = told(value)
    print(expected[:4])
    chunked = polars.concat([value] * 3, rechunk=False)
    for method in ("fork", "spawn", "forkserver"):
        context = procession.get_context(method)
        with context.Pool(2) as pool:
            assert pool.apply(told, (value,)) == expected
            assert pool.apply(told, (chunked,)) == told(chunked) == told(pool.apply(same, (chunked,)))
            assert chunked.n_chunks() == 3
            back = pool.map(same, [value, value, {"deep": [value]}])
            try:
                pool.apply(die, (value,))
            except procession.WorkerDied:
                pass
            for cls, name in ((polars.Derived, "a"), (polars.DataFrame, "a zero\0 in its name")):
                other = cls({name: (nanoarrow.float64(), [1.5] * COUNT)})
                assert pool.apply(same, (other,)) == pool.apply(same, ({"deep": [other]},))["deep"][0] == "its own way"
        pool.join()
        assert told(back[0]) == told(back[1]) == told(back[2]["deep"][0]) == expected
        here, there = context.Pipe()
        child = context.Process(target=tell, args=(value, there))
        child.start()
        answer, again = here.recv()
        child.join()
        assert answer == told(again) == expected
        queue = context.Queue()
        queue.put(value)
        assert told(queue.get(timeout=30)) == expected
        queue.close()
    shared = procession.share(value)
    assert told(shared) == expected
    with procession.Pool(1) as pool:
        assert pool.apply(told, (shared,)) == expected
        kept = pool.apply(same, (shared,))
    pool.join()
    del shared, value, again, back
    gc.collect()
    assert told(kept) == expected
    print("all the same")


if __name__ == "__main__":
    main()
