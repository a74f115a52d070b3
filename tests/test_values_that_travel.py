"""Objects with buffers in them, by each channel: what arrives is what was sent, and its buffers are not pickled."""

import array
import copyreg
import multiprocessing.reduction
import pickle
import subprocess
import sys
import types
from pathlib import Path

import nanoarrow
import numpy as np
import procession
import pytest
from PIL import Image

PROGRAMS = Path(__file__).parent / "programs"
MANY = 10_000


def same(value):
    return value


def told(connection, tells, values):
    connection.send([tell(value) for tell, value in zip(tells, values, strict=True)])


def tell_queued(connection, tells, queue):
    connection.send([tell(queue.get(timeout=60)) for tell in tells])


def tell_received(connection, tells, pipe):
    connection.send([tell(pipe.recv()) for tell in tells])


def asked(context, function, *arguments):
    """What a child of the context sends first to the connection that it gets with the arguments."""
    here, there = context.Pipe()
    child = context.Process(target=function, args=(there, *arguments))
    child.start()
    there.close()
    try:
        assert here.poll(60)
        return here.recv()
    finally:
        child.join()
        here.close()


def by_every_channel(context, tells, values):
    """What functions say of values where they arrive, by the name of the channel that has brought them."""
    pairs = list(zip(tells, values, strict=True))
    with context.Pool(1) as pool:
        yield "argument of a pool", [pool.apply(tell, (value,)) for tell, value in pairs]
        yield "result of a pool", [tell(pool.apply(same, (value,))) for tell, value in pairs]
        yield "items of a map", [pool.map(tell, [value] * 3)[2] for tell, value in pairs]
        yield "argument by name", [pool.apply(tell, kwds={"value": value}) for tell, value in pairs]
    pool.join()
    with procession.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        yield "call of an executor", [executor.submit(tell, value).result(60) for tell, value in pairs]
        yield "result of an executor", [tell(executor.submit(same, value).result(60)) for tell, value in pairs]
    if context.get_start_method() != "fork":  # which copies them
        yield "argument of a process", asked(context, told, tells, values)
    queue, simple = context.Queue(), context.SimpleQueue()
    ours, theirs = context.Pipe()
    for value in values:
        queue.put(value)
        ours.send(value)
    yield "item of a queue", asked(context, tell_queued, tells, queue)
    yield "message of a pipe", asked(context, tell_received, tells, theirs)
    back = []
    for tell, value in pairs:
        simple.put(value)
        back.append(tell(simple.get()))
    yield "item of a simple queue", back
    queue.close()
    simple.close()
    ours.close()
    theirs.close()
    with context.Manager() as manager:
        kept = manager.dict(enumerate(values))
        yield "value of a manager", [tell(kept[index]) for index, tell in enumerate(tells)]


def tell_array(value):
    return str(value.dtype), value.shape, value.flags.writeable, value.tolist()


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5, -1])
def test_an_array_is_pickled_by_every_protocol(protocol):
    array = np.arange(10_000)
    pickled = procession.reduction.ForkingPickler.dumps([array, array[::2]], protocol)
    whole, part = procession.reduction.ForkingPickler.loads(pickled)
    assert whole.tolist() == array.tolist() and part.tolist() == array[::2].tolist()


class Measured(np.ndarray):
    """An array with a unit, which pickles do not keep, as its class does not say so."""

    def __array_finalize__(self, template):
        self.unit = getattr(template, "unit", "none")


class Careful(np.ndarray):
    """An array that says itself how it is pickled."""

    def __reduce__(self):
        return careful, (self.shape, self.tag)


def careful(shape, tag):
    made = np.zeros(shape).view(Careful)
    made.tag = tag + ", rebuilt"
    return made


def derived(cls, values=None):
    made = (np.arange(float(MANY)) if values is None else values).view(cls)
    made.tag = made.unit = "of the sender"
    return made


RECORDS = np.zeros(MANY, [("when", "M8[s]"), ("what", "S3"), ("how", "f4")])
RECORDS["when"] = np.arange(MANY)
VALUES = {
    "matrix": np.matrix(np.arange(float(MANY)).reshape(100, -1)),
    "transposed matrix": np.matrix(np.arange(float(MANY)).reshape(50, -1)).T,
    "derived": derived(Measured),
    "derived, of steps": derived(Measured, np.arange(float(MANY)))[::2],
    "derived, of other axes": derived(Measured, np.arange(float(MANY)).reshape(10, 20, -1).transpose(1, 2, 0)),
    "derived, of dates": derived(Measured, np.arange(MANY).astype("M8[s]")),
    "records with dates": RECORDS,
    "record array": RECORDS.view(np.recarray),
    "masked": np.ma.masked_array(np.arange(float(MANY)), np.arange(MANY) % 3 == 0, fill_value=7),
    "masked, without a mask": np.ma.masked_array(np.arange(float(MANY)).reshape(100, -1).T),
    "masked matrix": np.ma.masked_array(np.matrix(np.arange(float(MANY)))),
}


def tell_derived(value):
    masked = isinstance(value, np.ma.MaskedArray)
    mask = (np.ma.getmaskarray(value).tolist(), type(value.mask).__name__, float(value.fill_value)) if masked else None
    items = value.filled() if masked else value
    kept = value.flags.writeable, getattr(value, "unit", None), getattr(value, "tag", None)
    return type(value).__name__, value.dtype.str, value.dtype.names, value.shape, items.tolist(), kept, mask


@pytest.mark.parametrize("name", VALUES)
def test_subclasses_of_arrays_arrive_as_their_own_pickles_make_them(name):
    expected = tell_derived(pickle.loads(pickle.dumps(VALUES[name], 5)))
    assert tell_derived(procession.reduction.ForkingPickler.loads(engine_pickle(VALUES[name]))) == expected
    assert tell_derived(pickle.loads(engine_pickle(VALUES[name], 4))) == expected


def engine_pickle(value, protocol=None):
    return procession.reduction.ForkingPickler.dumps(value, protocol)


@pytest.mark.parametrize("name", VALUES)
def test_the_items_of_subclasses_of_arrays_can_be_shared(name):
    shared = procession.share(VALUES[name])
    first, last = tell_derived(shared), tell_derived(procession.share(shared))
    assert first[4] == tell_derived(VALUES[name])[4] and first == last
    base = shared.data if isinstance(shared, np.ma.MaskedArray) else shared
    assert procession._procession.place_of(pickle.PickleBuffer(base.view(np.ndarray).ravel("K").view("u1")))


def test_small_arrays_of_all_classes_can_be_shared_too():
    for value in (np.matrix([[1, 2]]), np.ma.masked_array([1, 2], [0, 1]), array.array("d", [1, 2])):
        shared = procession.share(value)
        assert type(shared) is type(value) and shared.tolist() == value.tolist()


def test_a_class_that_says_how_it_is_pickled_goes_its_own_way(context):
    value = derived(Careful)
    with context.Pool(1) as pool:
        back = pool.apply(same, (value,))
    pool.join()
    assert type(back) is Careful and back.tag == "of the sender, rebuilt, rebuilt" and not back.any()


class Registered(np.ndarray):
    """An array whose reducer somebody registers."""


REGISTRIES = {
    "ours": procession.reduction.ForkingPickler._extra_reducers,
    "the standard library's": multiprocessing.reduction.ForkingPickler._extra_reducers,
    "everybody's": copyreg.dispatch_table,
}


KINDS = (Registered, np.ndarray, array.array, Image.Image)
# Who sends looks at the tables; a forked worker has them, too.
REGISTERED = [("fork", table, cls) for table in REGISTRIES for cls in KINDS]
REGISTERED += [("spawn", "everybody's", np.ndarray), ("forkserver", "ours", Registered)]


@pytest.fixture(params=REGISTERED)
def registered(request):
    """A context, an object of a class whose reducer is registered in one of the three tables, and what it becomes."""
    method, name, cls = request.param
    values = {np.ndarray: np.arange(MANY), array.array: array.array("q", range(MANY))}
    values[Image.Image] = Image.new("L", (100, 100))
    value = values[cls] if cls in values else derived(cls)

    def reduce(value):
        return str, (f"{cls.__name__} by {name}",)

    REGISTRIES[name][cls] = reduce
    yield procession.get_context(method), value, f"{cls.__name__} by {name}"
    del REGISTRIES[name][cls]


def test_a_registered_reducer_comes_before_all_else(registered):
    context, value, expected = registered
    with context.Pool(1) as pool:
        assert pool.apply(same, (value,)) == expected
        assert pool.map(same, [[value], [value]]) == [[expected]] * 2
        assert pool.apply(lambda: value) == expected
    pool.join()
    ours, theirs = context.Pipe()
    ours.send(value)
    assert theirs.recv() == expected
    ours.close()
    theirs.close()
    assert pickle.loads(engine_pickle(value)) == expected
    assert procession.share([value, memoryview(b"abc")])[0] == expected


def test_the_names_that_the_engine_asks_about_are_those_of_the_table():
    from procession._objects import reducers

    others, libraries = procession._procession.asked_names()
    assert set(others) == reducers.OTHERS
    assert set(libraries) == {name for _, name in reducers.LIBRARIES}


@pytest.mark.parametrize("kept, joins, goes", [(10, True, "joined"), (60, True, "whole"), (10, False, "whole")])
def test_a_small_part_of_an_array_of_arrow_goes_without_the_whole(monkeypatch, kept, joins, goes):
    class Array:
        def __init__(self, way="whole"):
            self.way = way

        def __reduce__(self):
            return str, (self.way,)

        nbytes = kept << 20

        def get_total_buffer_size(self):
            return 100 << 20

        def buffers(self):
            return [None, b"numbers"]

    class ArrowException(Exception):
        pass

    class Int64Array(Array):
        pass

    def concat_arrays(arrays):
        assert joins or not arrays
        return Int64Array("joined")

    def refuse(arrays):
        raise ArrowException("not of this type")

    library = types.ModuleType("pyarrow")
    library.concat_arrays, library.ArrowException = concat_arrays if joins else refuse, ArrowException
    Array.__module__ = Int64Array.__module__ = "pyarrow.lib"
    monkeypatch.setitem(sys.modules, "pyarrow", library)
    assert pickle.loads(engine_pickle([Int64Array(), {"a": Int64Array()}])) == [goes, {"a": goes}]


def tell_numbers(value):
    return type(value), value.typecode, value.tolist()


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfdu")
@pytest.mark.parametrize("count", [3, 100_000])
def test_arrays_of_the_interpreter_are_rebuilt_and_shared(typecode, count):
    value = array.array(typecode, "x" * count if typecode == "u" else (n % 100 for n in range(count)))
    back = pickle.loads(engine_pickle(value))
    assert tell_numbers(back) == tell_numbers(value)
    if typecode != "u":
        assert procession.share(value) == value


def tell_image(value):
    before = value.tobytes()
    value.load()[3, 4] = value.getpixel((0, 0))
    return type(value), value.mode, value.size, value.info, value.getpalette(), before


def picture(mode, side=300):
    noise = np.random.default_rng(5).integers(0, 255, (side, side + 1, 3), dtype="u1")
    made = Image.fromarray(noise, "RGB").convert("P" if mode == "PA" else mode)
    made = made.convert(mode)
    made.info["note"] = "kept"
    return made


@pytest.mark.parametrize("mode", ["1", "L", "P", "PA", "LA", "RGB", "RGBA", "CMYK", "I", "F"])
def test_an_image_is_what_its_own_pickle_makes_of_it_and_can_be_written_to(mode):
    expected = tell_image(pickle.loads(pickle.dumps(picture(mode))))
    assert tell_image(pickle.loads(engine_pickle(picture(mode)))) == expected
    assert tell_image(pickle.loads(engine_pickle(picture(mode), 4))) == expected


def test_values_arrive_by_every_channel(context):
    """Each as its own pickle makes it."""
    sent = [
        (tell_array, np.arange(MANY)),
        (tell_array, np.arange(300).astype("M8[s]").reshape(3, 100).T),
        (tell_derived, VALUES["derived, of other axes"]),
        (tell_derived, VALUES["masked"]),
        (tell_numbers, array.array("d", range(MANY))),
        (tell_image, picture("RGB")),
    ]
    tells, values = zip(*sent, strict=True)
    expected = [tell(pickle.loads(pickle.dumps(value, 5))) for tell, value in sent]
    for channel, arrived in by_every_channel(context, tells, values):
        for (_, value), found, wanted in zip(sent, arrived, expected, strict=True):
            assert found == wanted, (channel, type(value))


def test_a_shared_image_lies_in_shared_memory_and_is_copied_when_it_is_written_to():
    shared = procession.share(picture("RGBA"))
    assert shared.readonly and shared.tobytes() == picture("RGBA").tobytes()
    shared.putpixel((0, 0), (1, 2, 3, 4))
    assert shared.getpixel((0, 0)) == (1, 2, 3, 4) and not shared.readonly


class Photo(Image.Image):
    """An image of a program's own class."""


def test_images_of_other_classes_and_those_in_several_pieces_go_their_own_way():
    large = picture("RGB", 2_300)
    with procession.get_context("fork").Pool(1) as pool:
        assert pool.apply(same, (large,)).tobytes() == large.tobytes()
        photo = Photo()
        photo.__setstate__(picture("L").__getstate__())
        assert type(pool.apply(same, (photo,))) is Photo
    pool.join()


def test_frames_that_offer_arrow_travel_by_their_buffers():
    program = PROGRAMS / "frames" / "program.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=110)
    assert done.stdout.endswith("all the same\n") and done.returncode == 0, done.stdout + done.stderr


ITEMS = (b"i", None, None, 2, (), None)
NUMBERS = (3, 0, 0, (None, bytes(12)), (), None)
# What an array lacks, which its type, its length or its children's say is there.
MALFORMED = {
    "no items": (ITEMS, (3, 0, 0, (None, None), (), None)),
    "too few items": (ITEMS, (3, 0, 1, (None, bytes(12)), (), None)),
    "no numbers": ((b"u", None, None, 2, (), None), (3, 0, 0, (None, None, b"abc"), (), None)),
    "one buffer too few": ((b"u", None, None, 2, (), None), (3, 0, 0, (None,), (), None)),
    "too short a text": (
        (b"u", None, None, 2, (), None),
        (1, 0, 0, (None, array.array("i", [0, 9]).tobytes(), b"abc"), (), None),
    ),
    "steps between items": (ITEMS, (3, 0, 0, (None, memoryview(bytes(24))[::2]), (), None)),
    "a short column": ((b"+s", None, None, 0, (ITEMS,), None), (4, 0, 0, (None,), (NUMBERS,), None)),
    "short lists": ((b"+w:2", None, None, 0, (ITEMS,), None), (2, 0, 0, (None,), (NUMBERS,), None)),
    "a short list": (
        (b"+l", None, None, 0, (ITEMS,), None),
        (1, 0, 0, (None, array.array("i", [0, 4]).tobytes()), (NUMBERS,), None),
    ),
    "no dictionary": ((*ITEMS[:5], ITEMS), NUMBERS),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_an_array_that_lacks_what_its_type_says_is_refused(name):
    with pytest.raises(ValueError, match="a table arrived malformed"):
        procession._procession.arrow_whole(*MALFORMED[name])


class Offered:
    """An array that is offered to libraries as it arrived."""

    def __init__(self, *parts):
        self.parts = parts

    def __arrow_c_array__(self, requested_schema=None):
        return procession._procession.arrow_whole(*self.parts)


@pytest.mark.parametrize("format", [b"u", b"U", b"+l", b"+L"])
def test_an_array_without_items_needs_no_numbers(format):
    has_items = format in (b"+l", b"+L")
    children = ((ITEMS,), ((0, 0, 0, (None, None), (), None),)) if has_items else ((), ())
    schema = (format, b"name", None, 2, children[0], None)
    parts = (0, 0, 0, (None, None) if has_items else (None, None, None), children[1], None)
    again, (back,) = procession._procession.arrow_parts(Offered(schema, parts))
    assert again == schema and back[0] == 0
    assert nanoarrow.Array(Offered(schema, parts)).to_pylist() == []
