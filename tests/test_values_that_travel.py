"""Objects with buffers in them, by each channel: what arrives is what was sent, and its buffers are not pickled."""

import numpy as np
import procession
import pytest


def same(value):
    return value


def told(connection, tell, value):
    connection.send(tell(value))


def tell_queued(connection, tell, queue):
    connection.send(tell(queue.get(timeout=30)))


def tell_received(connection, tell, pipe):
    connection.send(tell(pipe.recv()))


def tell_given(given, tell, connection):
    connection.send(tell(given["value"]))


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


def by_every_channel(context, value, tell):
    """What `tell` says of a value where it arrives, by the name of the channel that has brought it."""
    with context.Pool(1) as pool:
        yield "argument of a pool", pool.apply(tell, (value,))
        yield "result of a pool", tell(pool.apply(same, (value,)))
        yield "items of a map", pool.map(tell, [value] * 3)[2]
        yield "argument by name", pool.apply(tell, kwds={"value": value})
    pool.join()
    with procession.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        yield "call of an executor", executor.submit(tell, value).result(60)
        yield "result of an executor", tell(executor.submit(same, value).result(60))
    yield "argument of a process", asked(context, told, tell, value)
    queue = context.Queue()
    queue.put(value)
    yield "item of a queue", asked(context, tell_queued, tell, queue)
    queue.close()
    simple = context.SimpleQueue()
    simple.put(value)
    yield "item of a simple queue", tell(simple.get())
    simple.close()
    ours, theirs = context.Pipe()
    ours.send(value)
    yield "message of a pipe", asked(context, tell_received, tell, theirs)
    ours.close()
    theirs.close()
    with context.Manager() as manager:
        kept = manager.dict()
        kept["value"] = value
        yield "value of a manager", tell(kept["value"])


def tell_array(value):
    return str(value.dtype), value.shape, value.flags.writeable, value.tolist()


@pytest.mark.parametrize("array", [np.arange(10_000), np.arange(300).astype("M8[s]").reshape(3, 100).T])
def test_an_array_arrives_by_every_channel(context, array):
    expected = tell_array(array)
    for channel, arrived in by_every_channel(context, array, tell_array):
        assert arrived == expected, channel


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5, -1])
def test_an_array_is_pickled_by_every_protocol(protocol):
    array = np.arange(10_000)
    pickled = procession.reduction.ForkingPickler.dumps([array, array[::2]], protocol)
    whole, part = procession.reduction.ForkingPickler.loads(pickled)
    assert whole.tolist() == array.tolist() and part.tolist() == array[::2].tolist()
