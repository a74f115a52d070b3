"""Values that other threads change while they are sent: what arrives is a state that they had, or sending fails."""

import pytest

from threads.crowd import THREADS, at_once

CHANGES = 1000
# Pickling says so, in the standard library, too, of a dict or set that another thread changes meanwhile.
CHANGED = "changed size during iteration|changed during iteration|deque mutated"


def change_list(values, done):
    for number in range(CHANGES):
        values.append(number)
        if len(values) > 14:
            del values[:]
    done.append(True)


def change_dict(values, done):
    for number in range(CHANGES):
        values[str(number)] = number
        if len(values) > 14:
            values.clear()
    done.append(True)


def change_bytes(values, done):
    for number in range(CHANGES):
        values.extend(b"%d" % (number % 10))
        if len(values) > 200:
            del values[:]
    done.append(True)


def change_set(values, done):
    for number in range(CHANGES):
        values.add(number)
        if len(values) > 14:
            values.clear()
    done.append(True)


KINDS = [(list, change_list), (dict, change_dict), (bytearray, change_bytes), (set, change_set)]


def sending(send, values, done):
    def send_all():
        while not done:
            try:
                arrived = send(values)
            except RuntimeError as error:
                assert any(text in str(error) for text in CHANGED.split("|")), error
                continue
            assert type(arrived) is type(values)
            if type(values) is dict:
                assert all(str(number) == name for name, number in arrived.items())
            elif type(values) is bytearray:
                assert all(chr(byte).isdecimal() for byte in arrived)
            else:
                assert all(type(number) is int for number in arrived)

    return send_all


def same(value):
    return value


@pytest.mark.parametrize(("kind", "change"), KINDS, ids=[kind.__name__ for kind, _ in KINDS])
def test_arguments_may_change_meanwhile(pool, kind, change):
    values, done = kind(), []
    send = lambda values: pool.apply(same, (values,))  # noqa: E731
    at_once(*[sending(send, values, done)] * (THREADS // 2), lambda: change(values, done))


@pytest.mark.parametrize(("kind", "change"), KINDS, ids=[kind.__name__ for kind, _ in KINDS])
def test_messages_may_change_meanwhile(context, kind, change):
    values, done = kind(), []
    pipes = [context.Pipe() for _ in range(THREADS // 2)]

    def through(mine, theirs):
        def send(values):
            mine.send(values)
            return theirs.recv()

        return send

    at_once(*(sending(through(*pipe), values, done) for pipe in pipes), lambda: change(values, done))
    for mine, theirs in pipes:
        mine.close()
        theirs.close()


def hold_and_change(change, kind):
    """In a worker: the result is changed by a thread of the task while it is sent."""
    import threading

    values, done = kind(), []
    threading.Thread(target=change, args=(values, done), daemon=True).start()
    return values


@pytest.mark.parametrize(("kind", "change"), KINDS, ids=[kind.__name__ for kind, _ in KINDS])
def test_results_may_change_meanwhile(pool, kind, change):
    for result in [pool.apply_async(hold_and_change, (change, kind)) for _ in range(THREADS)]:
        try:
            assert type(result.get(60)) is kind
        except RuntimeError as error:
            assert any(text in str(error) for text in CHANGED.split("|")), error
