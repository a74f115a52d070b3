"""Plain values through pipes and queues: their pickles, written and read by hand, are like any others."""

import gc
import multiprocessing.connection
import pickle
import sys
import threading

import numpy
import procession
import pytest
from procession import _procession as engine
from procession._objects import reducers
from tasks.children import join, start

SIZES = [0, 2047, 2048, 16_000, 16_384, 65_535, 65_536, 100_000, 5_000_000]


def echo(connection, count):
    for _ in range(count):
        connection.send(connection.recv())


def test_bytes_of_all_sizes_come_back(context):
    mine, theirs = context.Pipe()
    child = start(context, echo, theirs, len(SIZES))
    for size in SIZES:
        sent = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        mine.send(sent)
        assert mine.recv() == sent
    join(child)
    mine.close()
    theirs.close()


def through(source, sink, send, receive):
    """Return what `receive` gives of what `send` sends, which may be more than a pipe holds."""
    sender = threading.Thread(target=send, args=(sink,))
    sender.start()
    try:
        return receive(source)
    finally:
        sender.join()


@pytest.mark.parametrize("size", SIZES)
def test_what_is_sent_is_a_pickle_and_any_pickle_of_bytes_is_received(size):
    sent = b"y" * size
    source, sink = procession.Pipe(False)
    with source, sink:
        message = through(source, sink, lambda end: end.send(sent), lambda end: end.recv_bytes())
        assert pickle.loads(message) == sent
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            pickled = pickle.dumps(sent, protocol)
            for message in (pickled, pickle.dumps((sent,), protocol)):
                back = through(source, sink, lambda end, it=message: end.send_bytes(it), lambda end: end.recv())
                assert back == pickle.loads(message)


@pytest.mark.parametrize("size", [20_000, 100_000])
def test_what_begins_like_bytes_may_be_something_else(size):
    opcodes = b"\x80\x04B" + size.to_bytes(4, "little") + b"z" * size
    source, sink = procession.Pipe(False)
    with source, sink:
        for tail, meant in ((b".", b"z" * size), (b"\x94.", b"z" * size), (b"\x85.", (b"z" * size,))):
            back = through(source, sink, lambda end, it=tail: end.send_bytes(opcodes + it), lambda end: end.recv())
            assert back == meant
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            through(source, sink, lambda end: end.send_bytes(opcodes + b"\x94"), lambda end: end.recv())
        sink.send("next")
        assert source.recv() == "next"


def test_the_standard_library_reads_what_ours_sends_and_the_other_way_round():
    ours, theirs = procession.Pipe()
    standard = multiprocessing.connection.Connection(theirs.fileno())
    values = [b"b" * 100_000, b"b" * 3000, numpy.arange(1000.0), numpy.arange(40_000), "text" * 5000, [1, 2.5, None]]
    for value in values:
        for one, other in ((ours, standard), (standard, ours)):
            back = through(other, one, lambda end, it=value: end.send(it), lambda end: end.recv())
            assert type(back) is type(value) and numpy.array_equal(back, value)
    theirs.close()
    standard._handle = None


ARRAYS = [numpy.arange(24).astype(char).reshape(2, 3, 4) for char in "?bBhHiIlLqQefdFD"]
ARRAYS += [numpy.zeros((0, 3)), numpy.array(2.5), numpy.arange(10)[::2], numpy.asfortranarray(numpy.ones((3, 4)))]
ARRAYS += [
    numpy.arange(100_000.0),
    numpy.arange(6).astype(">i4"),
    numpy.zeros((0, 1 << 40)),
    numpy.arange(3).astype("M8[s]"),
]


@pytest.mark.parametrize("channel", ["Pipe", "Queue", "SimpleQueue"])
@pytest.mark.parametrize("number", range(len(ARRAYS)))
def test_arrays_arrive_as_they_were(channel, number):
    array = ARRAYS[number]
    if channel == "Pipe":
        source, sink = procession.Pipe(False)
        with source, sink:
            back = through(source, sink, lambda end: end.send(array), lambda end: end.recv())
            message = through(source, sink, lambda end: end.send(array), lambda end: end.recv_bytes())
        assert numpy.array_equal(pickle.loads(message), array)
    else:
        queue = getattr(procession, channel)()
        queue.put(array)
        back = queue.get()
    assert (back.dtype, back.shape) == (array.dtype, array.shape) and numpy.array_equal(back, array)
    assert back.flags.writeable and back.flags.f_contiguous == (array.flags.f_contiguous or array.ndim == 1)


NUMBERS = [numpy.dtype(char).type(1) for char in "?bBhHiIlLqQefdFD"] + [numpy.float64("nan"), numpy.float32(0.1)]
NUMBERS += [numpy.int64(-(1 << 63)), numpy.uint64((1 << 64) - 1), numpy.float16(-0.0), numpy.datetime64(3, "s")]


@pytest.mark.parametrize("channel", ["Pipe", "Queue"])
@pytest.mark.parametrize("number", range(len(NUMBERS)))
def test_single_numbers_of_numpy_arrive_as_they_were(channel, number):
    sent = NUMBERS[number]
    if channel == "Pipe":
        source, sink = procession.Pipe(False)
        with source, sink:
            sink.send(sent)
            back = source.recv()
    else:
        queue = procession.Queue()
        queue.put(sent)
        back = queue.get()
    assert type(back) is type(sent) and back.tobytes() == sent.tobytes()


class Narrow(numpy.ndarray):
    pass


def test_a_registered_reducer_and_a_derived_class_are_heeded():
    assert type(pickle.loads(procession.reduction.ForkingPickler.dumps(numpy.zeros(3).view(Narrow)))) is Narrow
    source, sink = procession.Pipe(False)
    with source, sink:
        sink.send(numpy.zeros(3).view(Narrow))
        assert type(source.recv()) is Narrow
        procession.reduction.ForkingPickler.register(numpy.ndarray, lambda array: (list, (array.tolist(),)))
        try:
            sink.send(numpy.zeros(3))
            assert source.recv() == [0.0, 0.0, 0.0]
            queue = procession.Queue()
            queue.put(numpy.zeros(2))
            assert queue.get() == [0.0, 0.0]
        finally:
            procession.reduction.ForkingPickler._extra_reducers.pop(numpy.ndarray, None)


def test_what_a_pickler_remembers_of_a_large_object_is_gone_with_the_next_small_one():
    def largest():
        return max(sys.getsizeof(one) for one in gc.get_objects() if type(one) is reducers._Pickler)

    large = [(number, str(number)) for number in range(100_000)]
    assert pickle.loads(engine.dumps(large)) == large
    assert pickle.loads(engine.dumps([ValueError("small")]))[0].args == ("small",)
    assert largest() < 100_000
    middle = large[:1000]
    for number in range(3):  # and of some that are not so large
        assert pickle.loads(engine.dumps(middle)) == middle
        assert pickle.loads(engine.dumps([KeyError(number)]))[0].args == (number,)
        assert largest() < 10_000
