"""Inputs that end badly, never end, wait, or use the pool they feed."""

import itertools
import threading

from benches.faults.situations import failure, situation, works

LIMIT_S = 30


def raising_at(position, count=10):
    """Yields numbers, and raises in the place of one."""
    for number in range(count):
        if number == position:
            raise LookupError(f"at {position}")
        yield number


def double(number):
    """Returns twice its argument."""
    return 2 * number


def outcomes_of(results):
    """Reads an iterator to its end, past LookupErrors, which stand for themselves in the list."""
    found = []
    while True:
        try:
            found.append(results.next(LIMIT_S))
        except LookupError:
            found.append(LookupError)
        except StopIteration:
            return found


@situation
def inputs_that_raise(ctx):
    """The error comes at its place, at the first, a middle and the last item, and from every method."""
    with ctx.Pool(2) as pool:
        for position in (0, 4, 9):
            assert isinstance(failure(pool.map, double, raising_at(position)), LookupError)
            for method in (pool.imap, pool.imap_unordered):
                outcomes = outcomes_of(method(double, raising_at(position)))
                got = [outcome for outcome in outcomes if outcome is not LookupError]
                assert sorted(got) == [2 * n for n in range(position)], outcomes
                assert len(outcomes) == position + 1, outcomes
                assert method == pool.imap_unordered or outcomes[-1] is LookupError, outcomes
        works(pool)


class BadLength:
    """A sequence that lies about its length, or refuses to tell it."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        if self.length is None:
            raise RuntimeError("no length today")
        return self.length

    def __iter__(self):
        return iter(range(10))


@situation
def inputs_that_lie_about_their_length(ctx):
    """All items count, and a length that raises is told or ignored, never a hang."""
    with ctx.Pool(2) as pool:
        for length in (3, 1000):
            assert pool.map_async(double, BadLength(length)).get(LIMIT_S) == [2 * n for n in range(10)]
        try:
            assert pool.map_async(double, BadLength(None)).get(LIMIT_S) == [2 * n for n in range(10)]
        except RuntimeError as error:
            assert "no length" in str(error)
        works(pool)


@situation
def an_input_that_waits_for_a_result(ctx):
    """The pool goes on while the input of another map waits."""
    released = threading.Event()

    def waiting():
        yield 1
        assert released.wait(LIMIT_S)
        yield 2

    with ctx.Pool(2) as pool:
        results = []
        thread = threading.Thread(target=lambda: results.extend(pool.imap(double, waiting())))
        thread.start()
        works(pool)
        released.set()
        thread.join(LIMIT_S)
        assert results == [2, 4], results


@situation
def an_input_that_uses_the_same_pool(ctx):
    """Its own items come from another map of the pool."""
    with ctx.Pool(2) as pool:
        inner = (pool.apply(double, (n,)) for n in range(10))
        assert list(pool.imap(double, inner)) == [4 * n for n in range(10)]
        assert pool.map(double, (pool.apply(double, (n,)) for n in range(10))) == [4 * n for n in range(10)]


@situation
def an_endless_input_closed_early(ctx):
    """`close` and `join` return, whether the results were read or not."""
    with ctx.Pool(2) as pool:
        some = pool.imap_unordered(double, itertools.count())
        assert len(list(itertools.islice(some, 100))) == 100
        del some
        never_read = pool.imap(double, iter(range(100_000)))
        works(pool)
        del never_read


@situation
def unread_results(ctx):
    """A million results that nobody reads do no harm to the next map."""
    with ctx.Pool(2) as pool:
        results = pool.map_async(double, range(1_000_000))
        works(pool)
        results.wait(LIMIT_S * 4)
        assert results.get(LIMIT_S)[-1] == 1_999_998


@situation
def empty_inputs(ctx):
    """Every method gives nothing at once."""
    with ctx.Pool(2) as pool:
        assert pool.map(double, []) == [] and pool.starmap(double, []) == []
        assert list(pool.imap(double, [])) == [] and list(pool.imap_unordered(double, iter(()))) == []
        assert pool.map_async(double, ()).get(LIMIT_S) == []
        works(pool)
