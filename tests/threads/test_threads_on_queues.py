"""Queues and pipes that eight threads use at once: each message arrives once, as it was sent."""

import collections

import procession
import pytest
from procession.connection import wait
from tasks.children import join, start

from threads.crowd import LIMIT_S, THREADS, at_once, eight

EACH = 200
KINDS = ["Queue", "JoinableQueue", "SimpleQueue"]


def putting(queue, number):
    return lambda: [queue.put((number, turn)) for turn in range(EACH)]


def getting(queue, count):
    return lambda: [queue.get() for _ in range(count)]


def in_order(messages):
    """What one reader got of one writer is in the order of the writer."""
    last = collections.defaultdict(lambda: -1)
    for number, turn in messages:
        assert turn > last[number]
        last[number] = turn


@pytest.mark.parametrize("kind", KINDS)
def test_each_message_of_a_queue_comes_once(kind):
    queue = getattr(procession, kind)()
    half = THREADS // 2
    answers = at_once(*(putting(queue, n) for n in range(half)), *(getting(queue, EACH) for _ in range(half)))
    got = answers[half:]
    for messages in got:
        in_order(messages)
    assert sorted(sum(got, [])) == [(n, turn) for n in range(half) for turn in range(EACH)]
    assert queue.empty()
    queue.close()


def test_a_full_queue_lets_all_in_one_by_one(context):
    queue = context.Queue(3)
    half = THREADS // 2
    answers = at_once(*(putting(queue, n) for n in range(half)), *(getting(queue, EACH) for _ in range(half)))
    assert sorted(sum(answers[half:], [])) == [(n, turn) for n in range(half) for turn in range(EACH)]
    queue.close()


def echo(questions, answers):
    for number, turn in iter(questions.get, None):
        answers.put((number, turn))


@pytest.mark.parametrize("kind", KINDS)
def test_children_answer_all(context, kind):
    questions, answers = getattr(context, kind)(), getattr(context, kind)()
    children = [start(context, echo, questions, answers) for _ in range(2)]
    half = THREADS // 2
    got = at_once(*(putting(questions, n) for n in range(half)), *(getting(answers, EACH) for _ in range(half)))
    assert sorted(sum(got[half:], [])) == [(n, turn) for n in range(half) for turn in range(EACH)]
    for _ in children:
        questions.put(None)
    join(*children)
    questions.close()
    answers.close()


def test_join_waits_until_all_are_done():
    queue = procession.JoinableQueue()
    done = []

    def work():
        for _ in range(EACH):
            done.append(queue.get())
            queue.task_done()

    half = THREADS // 2
    at_once(*(putting(queue, n) for n in range(half)), *[work] * half)
    queue.join()
    assert len(done) == half * EACH
    queue.close()


def test_pipes_of_eight_threads_are_not_mixed_up(context):
    def talk(number):
        mine, theirs = context.Pipe()
        for turn in range(EACH):
            mine.send((number, turn, b"x" * turn))
            assert theirs.recv() == (number, turn, b"x" * turn)
            theirs.send_bytes(b"%d" % turn)
            assert mine.recv_bytes() == b"%d" % turn
        mine.close()
        theirs.close()

    eight(talk)


def test_one_connection_is_used_in_turns(context):
    mine, theirs = context.Pipe()
    writing, reading = context.Lock(), context.Lock()

    def send(number):
        for turn in range(EACH):
            with writing:
                mine.send((number, turn))

    def receive():
        got = []
        for _ in range(EACH):
            with reading:
                got.append(theirs.recv())
        return got

    half = THREADS // 2
    answers = at_once(*(lambda number=number: send(number) for number in range(half)), *[receive] * half)
    assert sorted(sum(answers[half:], [])) == [(n, turn) for n in range(half) for turn in range(EACH)]
    mine.close()
    theirs.close()


def test_all_wait_for_the_same_things(context):
    queue, (mine, theirs) = context.Queue(), context.Pipe()

    def say():
        queue.put(1)
        theirs.send(2)

    answers = at_once(*[lambda: wait([queue, mine], LIMIT_S)] * (THREADS - 1), say)
    assert all(answer and set(answer) <= {queue, mine} for answer in answers[:-1])
    assert (queue.get(), mine.recv()) == (1, 2)
    queue.close()
    mine.close()
    theirs.close()
