"""Tasks, arguments, results and exceptions that misbehave."""

import os
import sys
import threading

import procession

from benches.faults.situations import failure, situation, works

LIMIT_S = 30


class Hostile:
    """Calls `action` when it is pickled ("pickle"), rebuilt ("unpickle") or dropped ("drop")."""

    def __init__(self, when, action):
        self.when, self.action = when, action

    def __reduce__(self):
        if self.when == "pickle":
            self.action()
        if self.when == "unpickle":
            return self.action, ()
        return Hostile, (self.when, self.action)

    def __del__(self):
        if self.when == "drop":
            self.action()


def crash():
    """Ends the process at once."""
    os._exit(7)


def complain():
    """Raises."""
    raise RuntimeError("hostile on purpose")


def leave():
    """Exits in good order."""
    sys.exit(3)


def identity(value):
    """Returns its argument."""
    return value


def make_hostile(when, action):
    """Returns a hostile object."""
    return Hostile(when, action)


@situation
def arguments_that_end_the_worker_when_rebuilt(ctx):
    """Only their own task fails, the items before and after have their results."""
    with ctx.Pool(2) as pool:
        results = [pool.apply_async(identity, (n if n != 3 else Hostile("unpickle", crash),)) for n in range(6)]
        answers = [result.get(LIMIT_S) for n, result in enumerate(results) if n != 3]
        assert answers == [0, 1, 2, 4, 5], answers
        assert isinstance(failure(results[3].get, LIMIT_S), procession.WorkerDied)
        mixed = pool.imap(identity, [1, Hostile("unpickle", complain), 3], 1)
        assert mixed.next(LIMIT_S) == 1
        assert "hostile on purpose" in str(failure(mixed.next, LIMIT_S))
        assert mixed.next(LIMIT_S) == 3
        works(pool)


@situation
def arguments_that_raise_or_exit_when_pickled(ctx):
    """The call or its result raises, and the pool goes on."""
    with ctx.Pool(2) as pool:
        for action in (complain, leave):
            error = failure(lambda: pool.apply_async(identity, (Hostile("pickle", action),)).get(LIMIT_S))  # noqa: B023
            assert isinstance(error, RuntimeError | SystemExit), error
        works(pool)


@situation
def results_that_end_the_worker_when_pickled(ctx):
    """Their task fails with WorkerDied."""
    with ctx.Pool(2) as pool:
        result = pool.apply_async(make_hostile, ("pickle", crash))
        assert isinstance(failure(result.get, LIMIT_S), procession.WorkerDied)
        works(pool)


@situation
def objects_that_raise_when_they_are_dropped(ctx):
    """Nothing but a message on stderr."""
    with ctx.Pool(2) as pool:
        assert pool.apply(identity, (5,)) == 5
        pool.apply(identity, (Hostile("drop", complain),))
        works(pool)


class NeedsTwo(Exception):
    """Cannot be rebuilt from its args."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def raise_with_cycle():
    """Raises an exception that is its own cause's cause."""
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def raise_group():
    """Raises a group with notes, one of its members of a type that cannot be rebuilt."""
    group = ExceptionGroup("several", [ValueError("one"), NeedsTwo(1, 2)])
    group.add_note("a note")
    raise group


def raise_unpicklable():
    """Raises an exception that holds what cannot be pickled."""
    raise ValueError("with a lock", threading.Lock())


def raise_long():
    """Raises a message of 10 MB."""
    raise ValueError("x" * 10_000_000)


def recurse(depth=0):
    """Never ends by itself, but the interpreter does that."""
    return recurse(depth + 1)


def raise_local():
    """Raises an exception whose class only the worker knows."""

    class Local(Exception):
        pass

    raise Local("known to the worker only")


@situation
def exceptions_of_every_kind(ctx):
    """Each comes back in some form that tells type and message."""
    with ctx.Pool(2) as pool:
        for function, words in [
            (raise_with_cycle, "first"),
            (raise_group, "several"),
            (raise_unpicklable, "with a lock"),
            (raise_long, "xxxxxxxx"),
            (recurse, "recursion"),
            (raise_local, "known to the worker only"),
        ]:
            error = failure(pool.apply_async(function).get, LIMIT_S)
            assert words in f"{type(error).__name__} {error} {error.__cause__}", (function, repr(error)[:300])
        works(pool)


def deep_list():
    """Returns a list too deep to be pickled."""
    value = []
    for _ in range(100_000):
        value = [value]
    return value


@situation
def results_too_deep_to_pickle(ctx):
    """Their task fails; neither side crashes."""
    with ctx.Pool(2) as pool:
        error = failure(pool.apply_async(deep_list).get, LIMIT_S)
        assert isinstance(error, procession.ProcessError | RecursionError | Exception), error
        error = failure(lambda: pool.apply_async(identity, (deep_list(),)).get(LIMIT_S))
        assert isinstance(error, Exception), error
        works(pool)


@situation
def sizes_around_every_threshold(ctx):
    """What comes back is what was sent."""
    sizes = [0, 1, 100, 1 << 20, (1 << 22) + 1]
    sizes += [edge + step for edge in (255, 4096, 32768, 65536) for step in (-1, 0, 1)]
    with ctx.Pool(2) as pool:
        for make in (bytes, bytearray):
            values = [make(n) for n in sizes]
            assert pool.map(identity, values, 1) == values
            assert list(pool.imap_unordered(identity, values[:1])) == values[:1]
        texts = ["\N{GREEK SMALL LETTER ALPHA}" * (n // 2) for n in sizes]
        assert pool.map(identity, texts) == texts


@situation
def locks_and_queues_as_arguments_of_tasks(ctx):
    """As in the standard library a clear RuntimeError, and nothing else is harmed."""
    with ctx.Pool(2) as pool:
        for thing in (ctx.Lock(), ctx.Queue(), ctx.Event()):
            error = failure(lambda: pool.apply_async(identity, (thing,)).get(LIMIT_S))  # noqa: B023
            assert isinstance(error, RuntimeError) and "inheritance" in str(error), repr(error)
        works(pool)


def keep_gate(event):
    """Gets what `pass_gate` waits for."""
    global gate
    gate = event


def pass_gate():
    """Waits to be let go."""
    return gate.wait(LIMIT_S)


@situation
def odd_time_limits(ctx):
    """Zero and less look without waiting, nan is refused, inf waits."""
    event = ctx.Event()
    with ctx.Pool(2, keep_gate, (event,)) as pool:
        result = pool.apply_async(pass_gate)
        for limit in (0, -1, -1e30):
            assert isinstance(failure(result.get, limit), procession.TimeoutError), limit
        assert isinstance(failure(result.get, float("nan")), ValueError | procession.TimeoutError)
        event.set()
        assert result.get(float("inf")) is True
        assert result.get(0) is True
        works(pool)
