"""Results of a chunk that have an object in common: it is sent once, and is one object where the results are."""

import copyreg
import gc
import itertools
import os
import pickle
import signal
import threading
import weakref
from typing import NamedTuple

import numpy
import procession
import pytest

WORKERS = 2
CHUNK = 10
ITEMS = 4 * CHUNK


class Model:
    def __init__(self):
        self.weights = [float(number) for number in range(2000)]
        self.names = {str(number): [number] for number in range(200)}

    def __eq__(self, other):
        return vars(self) == vars(other)


class Stated(Model):
    """Its pickle cannot be told from its attributes."""

    def __getstate__(self):
        return vars(self)


class Slotted:
    __slots__ = ("names",)

    def __init__(self):
        self.names = [str(number) for number in range(100)]

    def __eq__(self, other):
        return self.names == other.names


class Unloadable:
    def __reduce__(self):
        return int, ("no number",)


class Registered:
    pass


class Pair(NamedTuple):
    one: object
    other: object


class Asking:
    """Asks the pool for something while it is rebuilt."""

    pool = None

    def __setstate__(self, state):
        vars(self).update(state)
        if Asking.pool is not None:
            self.answer = Asking.pool.apply(abs, (-self.number,))


TEXTS = {f"key {number}": f"value {number}" for number in range(3000)}
NESTED = {"part": [1, 2, 3], "more": [{"number": number} for number in range(100)]}
OBJECTS = {
    "dict": TEXTS,
    "list": [str(number) for number in range(3000)],
    "nested": NESTED,
    "set": set(range(300)),
    "small dict": {"a": 1},
    "small list": [1, [2]],
    "small in small": {"a": [1, {"b": bytearray(b"c")}]},
    "text": "text" * 10_000,
    "bytes": b"bytes" * 10_000,
    "bytearray": bytearray(50_000),
    "array": numpy.arange(1000.0),
    "large array": numpy.arange(100_000.0),
    "instance": Model(),
    "stated": Stated(),
    "slotted": Slotted(),
    "large in small": {"texts": TEXTS, "numbers": (1, 2)},
}
counted = []
calls = {"number": 0}


def give(name):
    return OBJECTS[name]


def give_in_tuple(number, name):
    return number, OBJECTS[name]


def give_in_list(number):
    return [number, TEXTS, {"again": OBJECTS["instance"]}]


def give_parts(_number):
    return {"whole": NESTED, "part": NESTED["part"], "pair": [NESTED["more"], NESTED["more"]]}


def add_to_list(number):
    counted.append(number)
    return counted


def count_in(name, number):
    counter = OBJECTS[name]
    if isinstance(counter, numpy.ndarray):
        counter[number] = -1
    elif isinstance(counter, dict):
        counter["last"] = number
    elif isinstance(counter, list):
        counter[0] = number
    elif isinstance(counter, bytearray):
        counter[number] = 255
    else:
        counter.names["3" if isinstance(counter, Model) else 3] = number
    return number, counter


def state_of(name, counter, number):
    """What `count_in` has changed for `number` and for the next item."""
    if isinstance(counter, numpy.ndarray):
        return counter[number] == -1, counter[number + 1] == -1
    if isinstance(counter, dict):
        return counter["last"] == number, False
    if isinstance(counter, list):
        return counter[0] == number, False
    if isinstance(counter, bytearray):
        return counter[number] == 255, counter[number + 1] == 255
    return counter.names["3" if isinstance(counter, Model) else 3] == number, False


def give_or_fail(number):
    if number % 4 == 1:
        return threading.Lock(), TEXTS
    if number % 4 == 2:
        raise ValueError(number)
    return number, TEXTS


def give_unloadable(number):
    return (Unloadable(), TEXTS) if number % 5 == 0 else (number, TEXTS)


def give_or_die(number):
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, TEXTS


def give_registered(_number):
    return OBJECTS.setdefault("registered", Registered())


def reduce_registered(_registered):
    calls["number"] += 1
    return int, (calls["number"],)


SHAPES = {
    "beside a list": lambda registered: (registered, [1]),
    "behind a list": lambda registered: ([1], registered),
    "in a list": lambda registered: [1, registered],
    "in a dict": lambda registered: {"registered": registered},
    "in a tuple": lambda registered: (1, (registered, {})),
    "in a named tuple": lambda registered: Pair(registered, [1]),
    "in an exception": lambda registered: ValueError(registered),
    "beside a number": lambda registered: (registered, numpy.float64(1.5)),
}


def give_shaped(shape):
    return SHAPES[shape](Registered())


def give_shaped_again(shape):
    return SHAPES[shape](OBJECTS.setdefault("registered", Registered()))


def calls_so_far(_number):
    return calls["number"]


class Meta(type):
    """Something runs when classes are asked for what they lack, as any thread may at any time."""

    def __getattr__(cls, name):
        CHANGING["number"] = 1
        raise AttributeError(name)


class Watched(metaclass=Meta):
    def __init__(self):
        self.number = 1


CHANGING = {"number": 0, "watched": Watched()}


def give_changing(number):
    """Return a dict that changes while it is encoded for the first time."""
    if number == 0:
        CHANGING["number"] = 0
    return (CHANGING, 1) if number % 2 else CHANGING


def give_watched(number):
    """Return objects that the worker itself forgets."""
    if "forgotten" not in OBJECTS:
        OBJECTS["forgotten"] = Model()
        references.append(weakref.ref(OBJECTS["forgotten"]))
    return OBJECTS.pop("forgotten") if number % CHUNK == CHUNK - 1 else OBJECTS["forgotten"]


def number_of_alive(_number):
    OBJECTS.pop("forgotten", None)  # there if the last item of a chunk did not run as the last one
    gc.collect()
    return sum(reference() is not None for reference in references)


references = []


def give_asking(number):
    if number % CHUNK % 2:
        return TEXTS
    asking = OBJECTS.setdefault("asking", Asking())
    asking.number = number // CHUNK
    return asking


def fresh(number):
    return [float(number)] * 50


def fresh_then_shared(number):
    return fresh(number) if number < 200 else TEXTS


def give_model(number):
    model = Model()
    model.number = number
    return model


def same_as_first(results, of=lambda result: result):
    """For each result of a chunk whether its object is that of the first of its chunk."""
    return all(of(result) is of(results[index - index % CHUNK]) for index, result in enumerate(results))


def objects(results, of=lambda result: result):
    return len({id(of(result)) for result in results})


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(equal, one, other))
    return numpy.array_equal(one, other) if isinstance(one, numpy.ndarray) else one == other


def test_an_object_that_all_tasks_return_is_one_for_each_chunk(context):
    with context.Pool(WORKERS) as pool:
        for name, wanted in OBJECTS.items():
            results = pool.map(give, [name] * ITEMS, chunksize=CHUNK)
            assert all(equal(result, wanted) for result in results), name
            assert same_as_first(results) and objects(results) == ITEMS // CHUNK, name
            assert objects(pool.map(give, [name] * 1000)) <= WORKERS, name
    pool.join()


def test_an_object_in_tuples_is_one_for_each_chunk(context):
    with context.Pool(WORKERS) as pool:
        for name in OBJECTS:
            if name.startswith("small"):
                continue
            results = pool.starmap(give_in_tuple, [(number, name) for number in range(ITEMS)], chunksize=CHUNK)
            assert [number for number, _ in results] == list(range(ITEMS)), name
            assert all(equal(found, OBJECTS[name]) for _, found in results), name
            assert same_as_first(results, lambda result: result[1]) and objects(results) == ITEMS, name
    pool.join()


def test_several_objects_in_lists_and_dicts_are_one_each(context):
    with context.Pool(WORKERS) as pool:
        results = pool.map(give_in_list, range(ITEMS), chunksize=CHUNK)
        assert results == [[number, TEXTS, {"again": OBJECTS["instance"]}] for number in range(ITEMS)]
        assert same_as_first(results, lambda result: result[1])
        assert same_as_first(results, lambda result: result[2]["again"])
        assert objects(results, lambda result: result[2]) == ITEMS
    pool.join()


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_lazy_maps_share_as_far_as_their_chunks_go(context, method):
    with context.Pool(WORKERS) as pool:
        results = list(getattr(pool, method)(give, ["dict"] * ITEMS, CHUNK))
        assert results == [TEXTS] * ITEMS and objects(results) == ITEMS // CHUNK
        results = list(getattr(pool, method)(give, ["dict"] * 6))
        assert results == [TEXTS] * 6 and objects(results) == 6
    pool.join()


def test_items_that_are_a_chunk_each_share_nothing(context):
    with context.Pool(WORKERS) as pool:
        assert objects(pool.map(give, ["small list"] * 4 * WORKERS)) == 4 * WORKERS
        assert objects(pool.map(give, ["dict"] * 20, chunksize=1)) == 20
        assert objects([pool.apply(give, ("dict",)) for _ in range(3)]) == 3
    pool.join()


def test_a_part_of_an_object_stays_a_part_of_it(context):
    with context.Pool(WORKERS) as pool:
        for result in pool.map(give_parts, range(ITEMS), chunksize=CHUNK):
            assert result["whole"] == NESTED
            assert result["part"] is result["whole"]["part"]
            assert result["pair"][0] is result["pair"][1] is result["whole"]["more"]
    pool.join()


INNER = [1, 2, 3]
NUMBERS = numpy.arange(1000.0)
TWICE = {
    "in dicts": lambda number: {"number": number, "more": {"one": TEXTS, "other": TEXTS}},
    "in lists": lambda number: [number, [TEXTS, INNER], [INNER, TEXTS]],
    "in tuples": lambda number: ((number, TEXTS), (TEXTS, [TEXTS])),
    "in another": lambda number: {"one": Holder.one, "other": TEXTS, "again": Holder.one, "number": number},
    "before another": lambda number: [TEXTS, Holder.one, number],
    "arrays": lambda number: [number, NUMBERS, {"again": NUMBERS}],
    "a part": lambda number: [NESTED, NESTED["part"], NESTED, number],
    "parts": lambda number: [NESTED["part"], NESTED, NESTED, number],
    "changed": lambda number: [Growing.append(number), Growing.items, Growing.items],
}


class Holder:
    def __init__(self):
        self.texts, self.numbers = TEXTS, list(range(500))


Holder.one = Holder()


class Growing:
    items: list = []

    @staticmethod
    def append(number):
        Growing.items.append(str(number))
        return number


def give_twice(name, number):
    return TWICE[name](number)


def structure(value, seen):
    """Return what is in a value, and which of its parts are one object."""
    if not isinstance(value, (list, dict, tuple, Holder, numpy.ndarray)):
        return value
    if id(value) in seen:
        return "again", seen[id(value)]
    seen[id(value)] = len(seen)
    if isinstance(value, numpy.ndarray):
        return value.tolist()
    parts = vars(value) if isinstance(value, Holder) else value
    parts = parts.items() if isinstance(parts, dict) else enumerate(parts)
    return type(value), [(key, structure(part, seen)) for key, part in parts]


@pytest.mark.parametrize("name", TWICE)
def test_an_object_twice_in_a_result_is_one_there(context, name):
    with context.Pool(1) as pool:
        results = pool.starmap(give_twice, [(name, number) for number in range(ITEMS)], chunksize=CHUNK)
    pool.join()
    del Growing.items[:]
    for number, result in enumerate(results):
        wanted = pickle.loads(pickle.dumps(TWICE[name](number)))
        assert structure(result, {}) == structure(wanted, {})


def test_an_object_twice_in_a_result_is_sent_once_for_each_chunk(context):
    with context.Pool(WORKERS) as pool:
        for name in ("in dicts", "in tuples", "in another", "arrays"):
            results = pool.starmap(give_twice, [(name, number) for number in range(ITEMS)], chunksize=CHUNK)
            found = [found for result in results for found in large_in(result)]
            assert len(found) > ITEMS and objects(found) == ITEMS // CHUNK, name
    pool.join()


def large_in(value):
    """Return the texts, or the array, that all results of `TWICE` have, wherever they are."""
    if isinstance(value, numpy.ndarray) or isinstance(value, dict) and len(value) == len(TEXTS):
        return [value]
    parts = vars(value) if isinstance(value, Holder) else value
    parts = parts.values() if isinstance(parts, dict) else parts if isinstance(parts, (list, tuple)) else ()
    return [found for part in parts for found in large_in(part)]


CHANGED = [
    "dict",
    "list",
    "small dict",
    "small list",
    "bytearray",
    "array",
    "large array",
    "instance",
    "stated",
    "slotted",
]


def test_what_a_task_changes_is_in_its_result_and_in_none_before(context):
    with context.Pool(1) as pool:
        for name in CHANGED:
            results = pool.starmap(count_in, [(name, number) for number in range(100)], chunksize=50)
            assert [number for number, _ in results] == list(range(100)), name
            assert [state_of(name, counter, number) for number, counter in results] == [(True, False)] * 100, name
    pool.join()


def test_a_list_that_grows_is_sent_as_it_was(context):
    with context.Pool(1) as pool:
        assert pool.map(add_to_list, range(100), chunksize=100) == [list(range(end + 1)) for end in range(100)]
    pool.join()


def test_results_that_cannot_be_sent_fail_alone(context):
    with context.Pool(WORKERS) as pool:
        results = pool.imap(give_or_fail, range(ITEMS), CHUNK)
        for number in range(ITEMS):
            if number % 4 == 1:
                with pytest.raises(procession.pool.MaybeEncodingError):
                    next(results)
            elif number % 4 == 2:
                with pytest.raises(ValueError, match=str(number)):
                    next(results)
            else:
                assert next(results) == (number, TEXTS)
    pool.join()


def test_results_that_cannot_be_rebuilt_fail_alone(context):
    with context.Pool(WORKERS) as pool:
        results = pool.imap(give_unloadable, range(ITEMS), CHUNK)
        for number in range(ITEMS):
            if number % 5 == 0:
                with pytest.raises(ValueError, match="no number"):
                    next(results)
            else:
                assert next(results) == (number, TEXTS)
    pool.join()


def test_a_killed_worker_takes_its_task_alone_from_results_that_share(context):
    with context.Pool(WORKERS) as pool:
        results = pool.imap(give_or_die, range(ITEMS), CHUNK)
        found = []
        for number in range(ITEMS):
            if number == 5:
                with pytest.raises(procession.WorkerDied):
                    results.next(60)
            else:
                found.append(results.next(60))
        assert found == [(number, TEXTS) for number in range(ITEMS) if number != 5]
        assert objects(found[:5], lambda result: result[1]) == 1
    pool.join()


def test_a_registered_reducer_is_called_for_each_result(monkeypatch):
    monkeypatch.setitem(copyreg.dispatch_table, Registered, reduce_registered)
    with procession.get_context("fork").Pool(1) as pool:
        assert pool.map(give_registered, range(30), chunksize=30) == list(range(1, 31))
    pool.join()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_reducer_is_called_once_for_each_result_wherever_it_stands(monkeypatch, shape):
    monkeypatch.setitem(copyreg.dispatch_table, Registered, reduce_registered)
    with procession.get_context("fork").Pool(1) as pool:
        for give in (give_shaped, give_shaped_again):
            before = pool.apply(calls_so_far, (0,))
            pool.map(give, [shape] * 50, chunksize=50)
            assert pool.apply(calls_so_far, (0,)) - before == 50
    pool.join()


def test_what_changes_while_a_result_is_encoded_is_in_the_next_one(context):
    with context.Pool(1) as pool:
        _, *results = pool.map(give_changing, range(9), chunksize=9)
        assert [(result[0] if isinstance(result, tuple) else result)["number"] for result in results] == [1] * 8
    pool.join()


def test_what_a_job_has_returned_is_let_go_when_the_next_one_runs(context):
    with context.Pool(1) as pool:
        for size in (CHUNK, None):
            assert len(pool.map(give_watched, range(ITEMS), chunksize=size)) == ITEMS
            assert pool.apply(number_of_alive, (0,)) == 0
    pool.join()


def test_an_object_that_asks_the_pool_while_it_is_rebuilt_gets_an_answer(context, monkeypatch):
    with context.Pool(WORKERS) as pool:
        monkeypatch.setattr(Asking, "pool", pool)
        results = pool.map(give_asking, range(20 * CHUNK), chunksize=CHUNK)
        assert all(asking.answer == number for number, asking in enumerate(results[::CHUNK]))
        assert all(texts == TEXTS for texts in results[1::2])
        for index, result in enumerate(results):
            assert result is results[index - index % CHUNK + index % 2]
    pool.join()


def test_objects_that_come_late_are_shared_all_the_same(context):
    with context.Pool(1) as pool:
        results = pool.map(fresh_then_shared, range(1000), chunksize=1000)
        assert results == [fresh(number) if number < 200 else TEXTS for number in range(1000)]
        assert objects(results[200:]) <= 3
    pool.join()


def test_fresh_results_are_all_right(context):
    with context.Pool(WORKERS) as pool:
        assert pool.map(fresh, range(3000)) == [fresh(number) for number in range(3000)]
        models = pool.map(give_model, range(200), chunksize=50)
        assert [model.number for model in models] == list(range(200)) and objects(models) == 200
    pool.join()


LARGE_TEXTS = {f"a key {number}": [f"a value {number}"] for number in range(5000)}


def give_large(number):
    """Return a large dict that changes within a chunk and between two of them, in a tuple now and then."""
    if number % 25 == 0:
        LARGE_TEXTS["since"] = number
    return (number, LARGE_TEXTS) if number % 3 == 1 else LARGE_TEXTS


def test_a_large_object_is_another_one_for_each_chunk_and_what_it_was(context):
    with context.Pool(1) as pool:
        for _ in range(2):
            results = pool.map(give_large, range(100), chunksize=10)
            texts = [result[1] if isinstance(result, tuple) else result for result in results]
            assert [text["since"] for text in texts] == [number // 25 * 25 for number in range(100)]
            assert all(text == {**LARGE_TEXTS, "since": text["since"]} for text in texts)
            # One object as long as neither chunk nor dict is another.
            for number, (one, other) in enumerate(itertools.pairwise(texts), start=1):
                assert (one is not other) == (number % 10 == 0 or number % 25 == 0)
            texts[0]["since"] = "the program's own"
            assert texts[10]["since"] == 0
    pool.join()


CACHED = weakref.WeakValueDictionary()


def give_cached(number):
    """Return an object that a task finds again as long as somebody has it."""
    try:
        return CACHED["model"]
    except KeyError:
        model = CACHED["model"] = Model()
        model.number = number
        return model


def test_an_object_that_is_only_known_weakly_is_one_for_a_chunk(context):
    with context.Pool(1) as pool:
        results = pool.map(give_cached, range(ITEMS), chunksize=CHUNK)
        assert same_as_first(results)
    pool.join()


def give_passing(number):
    """Return fresh objects that have a lasting one in common."""
    return [number, {"fresh": [number] * 3, "common": TEXTS}, Pair(number, (OBJECTS["small list"], [number]))]


def test_what_fresh_results_have_in_common_is_one_object(context):
    with context.Pool(WORKERS) as pool:
        results = pool.map(give_passing, range(ITEMS), chunksize=CHUNK)
        assert results == [give_passing(number) for number in range(ITEMS)]
        assert same_as_first(results, lambda result: result[1]["common"])
        assert same_as_first(results, lambda result: result[2].other[0])
        assert objects(results, lambda result: result[1]) == ITEMS
    pool.join()


BEGUN = []


def set_begun(begun):
    BEGUN.append(begun)


def give_after_all(number):
    """Return a large result though nobody wants it any more."""
    try:
        BEGUN[0].release()
        threading.Event().wait(60)
    except BaseException:
        return {f"{number} {key}": key for key in range(40_000)}


def shared_kib(process):
    with open(f"/proc/{process}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("RssShmem"))


def own_shared_kib(_number):
    return shared_kib(os.getpid())


def test_the_memory_of_large_results_that_nobody_wants_is_used_again(context):
    begun = context.Semaphore(0)
    with context.Pool(1, initializer=set_begun, initargs=(begun,)) as pool:
        before = pool.apply(own_shared_kib, (0,))
        for number in range(30):
            result = pool.apply_async(give_after_all, (number,))
            assert begun.acquire(timeout=60)
            assert result.cancel()
        # Each is about a MiB.
        assert pool.apply(own_shared_kib, (0,)) - before < 10 << 10
    pool.join()
