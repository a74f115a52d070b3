"""Small arrays and numbers of numpy, which travel by a short code: they are what a pickle of them would be."""

import copyreg
import pickle
import subprocess
import sys

import numpy
import procession
import pytest
from procession import _procession, reduction

TYPES = "?bBhHiIlLqQefdFD"
CHANNELS = ["Pool", "Queue", "JoinableQueue", "SimpleQueue", "Pipe"]
SHAPES = [(), (0,), (1,), (5,), (3, 4), (0, 7), (2, 3, 4), (1,) * 8, (1,) * 9]


def give(value):
    return value


def describe(array):
    flags = array.flags
    return array.dtype.str, flags.writeable, flags.owndata, flags.c_contiguous, flags.f_contiguous, array.shape


def pair(one, other):
    return one is other, one, other


def double(array):
    array += array
    return array


def numbers_of(char, shape):
    return (numpy.random.default_rng(1).random(shape) * 100).astype(char)


def same(one, other):
    return (
        type(one) is type(other)
        and one.dtype == other.dtype
        and one.shape == other.shape
        and bool((one == other).all())
    )


def odd_arrays():
    grid = numpy.arange(12.0).reshape(3, 4)
    return [
        grid.T,
        grid[:, 1],
        grid[::-1],
        grid[0],
        grid[:, ::2],
        numpy.asfortranarray(grid),
        grid.astype(">f8"),
        numpy.array(["a", "bc"]),
        numpy.array([1, "x", None], object),
        numpy.zeros(3, "M8[s]"),
        numpy.zeros(2, [("a", "i4"), ("b", "f8")]),
        numpy.zeros(3, numpy.dtype("f8", metadata={"unit": "m"})),
        numpy.longdouble([1, 2]),
        grid.view(numpy.recarray),
    ]


def test_arrays_and_numbers_of_all_types_come_back(context):
    with context.Pool(2) as pool:
        for char in TYPES:
            for array in [numbers_of(char, shape) for shape in SHAPES]:
                assert same(pool.apply(give, (array,)), array)
            number = numpy.dtype(char).type(3)
            assert same(pool.apply(give, (number,)), number)
        for array in odd_arrays():
            back = pool.apply(give, (array,))
            assert same(back, array) and back.strides == pickle.loads(pickle.dumps(array)).strides
    pool.join()


def test_numbers_keep_every_bit():
    for number in [numpy.float64("-0.0"), numpy.float64("nan"), numpy.float32("inf"), numpy.complex64(1 - 2j)]:
        code = _procession.encode_simple(number)
        back, taken = _procession.try_decoders(code)
        assert (back.tobytes(), type(back), taken) == (number.tobytes(), type(number), len(code))


def is_one_of_two(value):
    return value is numpy.True_ or value is numpy.False_


@pytest.mark.parametrize("channel", CHANNELS)
def test_booleans_are_those_of_the_process(context, channel):
    with context.Pool(2) as pool:
        back = [through(context, channel, pool, numpy.bool_(number)) for number in range(2)]
        assert back[0] is numpy.False_ and back[1] is numpy.True_
        values = [numpy.bool_(number % 3) for number in range(300)]
        assert pool.map(is_one_of_two, values) == [True] * 300
        assert all(one is other for one, other in zip(pool.map(give, values), values, strict=True))
    pool.join()


def test_a_small_array_is_a_copy_of_its_own_that_can_be_written_to(context):
    fixed = numpy.arange(5)
    fixed.flags.writeable = False
    with context.Pool(1) as pool:
        for array in [numpy.arange(5), fixed, numpy.arange(10)[::2]]:
            assert pool.apply(describe, (array,)) == ("<i8", True, True, True, True, (5,))
            assert (pool.apply(double, (array,)) == 2 * array).all()
        row = numpy.arange(6.0).reshape(2, 3)
        assert [list(back) for back in pool.map(double, row)] == [[0, 2, 4], [6, 8, 10]]
        assert list(row[1]) == [3, 4, 5]
    pool.join()


def test_one_array_in_two_places_stays_one(context):
    one, other = numpy.arange(3), numpy.arange(3)
    with context.Pool(1) as pool:
        is_one, first, second = pool.apply(pair, (one, one))
        assert is_one and first is second
        is_one, first, second = pool.apply(pair, (one, other))
        assert not is_one and first is not second
        assert pool.apply(pair, (bytearray(b"x"), bytearray(b"y")))[0] is False
        block = bytearray(b"z")
        assert pool.apply(pair, (block, block))[0] is True
    pool.join()


def test_of_a_small_array_in_shared_memory_only_the_place_travels(context):
    shared = procession.share(numpy.zeros(4))
    with context.Pool(1) as pool:
        _, is_writeable, owns_data, *_ = pool.apply(describe, (shared,))
    pool.join()
    assert (is_writeable, owns_data) == (False, False)


def test_what_was_unpickled_has_a_code_too():
    array = pickle.loads(pickle.dumps(numpy.arange(3.0), 4))
    assert array.dtype is not numpy.dtype("d")
    assert same(_procession.try_decoders(_procession.encode_simple(array))[0], array)


@pytest.mark.parametrize("lengths", [[2**63, 2], [2**64 - 1], [0, 2**63], [3]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    body = bytes([TYPES.index("d"), len(lengths)]) + b"".join(n.to_bytes(8, "little") for n in lengths)
    code = bytes([_procession.encode_simple(numpy.zeros(1))[0]]) + len(body).to_bytes(4, "little") + body
    with pytest.raises((ValueError, OverflowError, MemoryError)):
        _procession.try_decoders(code)


@pytest.fixture(params=[copyreg.dispatch_table, reduction.ForkingPickler._extra_reducers])
def reducers(request):
    """A table of reducers, which is restored."""
    before = dict(request.param)
    yield request.param
    request.param.clear()
    request.param.update(before)


def as_text(value):
    return str, (f"text of {value}",)


def test_a_reducer_that_was_registered_is_used_for_small_arrays_and_numbers_too(context, reducers):
    reducers[numpy.ndarray] = reducers[numpy.float32] = reducers[numpy.bool_] = as_text
    with context.Pool(1) as pool:
        for value in (numpy.arange(2), numpy.float32(2), numpy.True_):
            text = f"text of {value}"
            assert repr(pool.map(give, [value, (value,), [value] * 20])) == repr([text, (text,), [text] * 20])
        assert pool.apply(give, (numpy.float64(2),)) == 2
    pool.join()


LAZY = """
import importlib.util, sys
from procession import _procession

spec = importlib.util.find_spec("numpy")
spec.loader = importlib.util.LazyLoader(spec.loader)
numpy = sys.modules["numpy"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(numpy)
assert _procession.encode_simple(object()) is None
assert "numpy.linalg" not in sys.modules
array = _procession.try_decoders(bytes.fromhex(sys.argv[1]))[0]
assert array.tolist() == [1.0] and "numpy.linalg" in sys.modules
"""


def test_numpy_that_is_to_be_loaded_when_it_is_used_is_loaded_for_an_array_only():
    code = _procession.encode_simple(numpy.ones(1)).hex()
    subprocess.run([sys.executable, "-c", LAZY, code], check=True)


def layout(array):
    """Return the type and the shape of an array, and its axes from the largest step to the smallest."""
    axes = tuple(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
    return array.dtype, array.shape, axes, array.flags.writeable


def through(context, channel, pool, array):
    """Return what arrives of an array that goes through a channel, or to a task of a pool and back."""
    if channel == "Pool":
        return pool.apply(give, (array,))
    if channel == "Pipe":
        source, sink = context.Pipe(False)
        with source, sink:
            sink.send(array)
            return source.recv()
    queue = getattr(context, channel)()
    queue.put(array)
    return queue.get()


def test_small_arrays_own_their_memory_and_can_be_resized_whatever_brought_them(context):
    read_only = numpy.arange(4.0)
    read_only.flags.writeable = False
    grid = numpy.arange(6.0).reshape(2, 3)
    several = [
        numpy.arange(5),
        grid.copy(),
        numpy.asfortranarray(grid),
        numpy.array(["a", "bc"]),
        numpy.zeros(3, "M8[s]"),
    ]
    several += [numpy.zeros(2, [("a", "i4"), ("b", "f8")]), numpy.zeros(0), numpy.ones(3, bool), read_only, grid[1]]
    with context.Pool(1) as pool:
        for channel in CHANNELS:
            for array in several:
                back = through(context, channel, pool, array)
                assert (
                    same(back, array) and back.flags.writeable and back.flags.f_contiguous == array.flags.f_contiguous
                )
                back.resize(array.size + 1, refcheck=False)
                assert (back[:-1] == array.ravel("A")).all(), channel
    pool.join()


@pytest.mark.parametrize("side", [2, 40])
def test_arrays_keep_the_order_of_their_axes_whatever_brought_them(context, side):
    cube = numpy.arange(float(side * 3 * 4)).reshape(side, 3, 4)
    permuted = [cube.transpose(1, 0, 2), cube.transpose(2, 0, 1), cube.T, cube.transpose(2, 0, 1).copy("K")]
    permuted += [
        cube[:, ::2].transpose(1, 2, 0),
        cube[:, :, 1:].transpose(1, 0, 2),
        cube.transpose(1, 0, 2).astype(">f8"),
    ]
    permuted += [cube.transpose(1, 0, 2).astype("M8[s]"), cube.transpose(1, 0, 2) > 3]
    fixed = cube.copy().transpose(1, 0, 2)
    fixed.flags.writeable = False
    with context.Pool(1) as pool:
        for channel in CHANNELS:
            for array in [*permuted, fixed]:
                back = through(context, channel, pool, array)
                assert same(back, array) and layout(back) == (*layout(array)[:3], True), channel
    pool.join()


def test_shared_arrays_keep_the_order_of_their_axes():
    cube = numpy.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2)
    shared = procession.share(cube, writable=True)
    assert same(shared, cube) and layout(shared) == layout(cube)
    queue = procession.get_context("fork").Queue()
    for sent in shared, shared.transpose(2, 1, 0):
        queue.put(sent)
        back = queue.get()
        assert layout(back) == layout(sent)
        sent[...] += 1  # in the memory of all
        assert same(back, sent)
