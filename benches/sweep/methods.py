"""The ways that values go: methods of pools and executors, channels, managers, arguments of processes.

Each function takes a `Stage`, a function, the items and gives the list of results; it is what a cell times.
"""

import itertools

# By name: the function, and the most items that are worth it, as a call costs the standard library some 250 us.
METHODS = {}
MANY, SOME, FEW = 50_000, 400, 8


def method(most=MANY):
    """Enter a function into `METHODS`."""

    def enter(function):
        METHODS[function.__name__] = (function, most)
        return function

    return enter


@method()
def map(stage, function, items):
    return stage.pool.map(function, items)


@method(SOME)
def map_1(stage, function, items):
    return stage.pool.map(function, items, 1)


@method()
def map_16(stage, function, items):
    return stage.pool.map(function, items, 16)


@method()
def map_large(stage, function, items):
    return stage.pool.map(function, items, max(1, len(items) // 2))


@method()
def map_async(stage, function, items):
    return stage.pool.map_async(function, items).get()


@method()
def starmap(stage, function, items):
    return stage.pool.starmap(function, zip(items))


@method()
def starmap_16(stage, function, items):
    return stage.pool.starmap(function, zip(items), 16)


@method()
def starmap_async(stage, function, items):
    return stage.pool.starmap_async(function, zip(items)).get()


@method(SOME)
def imap(stage, function, items):
    return list(stage.pool.imap(function, items))


@method()
def imap_16(stage, function, items):
    return list(stage.pool.imap(function, items, 16))


@method(SOME)
def imap_unordered(stage, function, items):
    # In any order: those who check sort them by what they say.
    return list(stage.pool.imap_unordered(function, items))


@method()
def imap_of_a_generator_16(stage, function, items):
    return list(stage.pool.imap(function, (item for item in items), 16))


@method()
def imap_unordered_16(stage, function, items):
    return list(stage.pool.imap_unordered(function, items, 16))


@method(SOME)
def apply(stage, function, items):
    return [stage.pool.apply(function, (item,)) for item in items]


@method(SOME)
def apply_by_name(stage, function, items):
    return [stage.pool.apply(function, (), {"item": item}) for item in items]


@method(SOME)
def apply_async_by_name(stage, function, items):
    return [result.get() for result in [stage.pool.apply_async(function, (), {"item": item}) for item in items]]


@method(SOME)
def apply_async(stage, function, items):
    return [result.get() for result in [stage.pool.apply_async(function, (item,)) for item in items]]


@method(SOME)
def executor_submit(stage, function, items):
    return [future.result() for future in [stage.executor.submit(function, item) for item in items]]


@method(SOME)
def executor_submit_by_name(stage, function, items):
    return [future.result() for future in [stage.executor.submit(function, item=item) for item in items]]


@method(SOME)
def executor_map(stage, function, items):
    return list(stage.executor.map(function, items))


@method()
def executor_map_16(stage, function, items):
    return list(stage.executor.map(function, items, chunksize=16))


@method(SOME)
def manager_list(stage, function, items):
    stage.managed[:] = []
    for item in items:
        stage.managed.append(item)
    return [function(item) for item in stage.managed[:]]


@method(SOME)
def manager_dict(stage, function, items):
    for number, item in enumerate(items):
        stage.managed_dict[number] = item
    return [function(stage.managed_dict[number]) for number in range(len(items))]


@method(FEW)
def process_args(stage, function, items):
    for item in items:
        process = stage.context.Process(target=function, args=(item,))
        process.start()
        process.join()
        assert process.exitcode == 0
    return [function(item) for item in items]


@method(FEW)
def pool_start(stage, function, items):
    with stage.context.Pool(2) as pool:
        return pool.map(function, items)


# Channels: a child that has the values already sends them, and this process receives.
CHANNELS = ("queue", "simple_queue", "joinable_queue", "pipe", "pipe_both_ways")


def through(stage, channel, kind, count):
    """Receive `count` values of a kind from the child that has them."""
    receive = stage.receiver(channel)
    stage.go.send((channel, kind, count))
    if channel == "pipe_both_ways":
        send = stage.both_ways.send
        return [send(value) or receive() for value in stage.values(kind, count)]
    return [receive() for _ in range(count)]


def feed(go, channels, find):
    """The child's part: send values of a kind by a channel whenever it is told to, until the line ends.

    Args:
        go: the connection that says channel, kind and count, or that the values are to be made ready.
        channels: by name, the queue or connection of each.
        find: gives the function that makes the values of a kind.
    """
    ready = {}
    while True:
        try:
            channel, kind, count = go.recv()
        except EOFError:
            return
        if channel == "make":
            ready = {kind: [find(kind)(number) for number in range(count)]}
            go.send("ready")
        elif channel == "pipe_both_ways":
            for _ in range(count):
                channels[channel].send(channels[channel].recv())
        else:
            send = channels[channel].send if channel == "pipe" else channels[channel].put
            for value in itertools.islice(ready[kind], count):
                send(value)
