"""Locks, conditions, events and barriers of eight threads, and of children beside them."""

import procession
import pytest
from tasks.children import join, start

from threads.crowd import LIMIT_S, THREADS, at_once, eight

EACH = 400
LOCKS = {
    "Lock": (),
    "RLock": (),
    "Semaphore": (1,),
    "BoundedSemaphore": (1,),
    "Condition": (),
}


def count_up(lock, counter, turns=EACH // 2):
    for _ in range(turns):
        with lock:
            counter.value += 1


@pytest.mark.parametrize("kind", LOCKS)
def test_no_increment_is_lost(context, kind):
    lock = getattr(context, kind)(*LOCKS[kind])
    counter = context.RawValue("l", 0)
    children = [start(context, count_up, lock, counter, EACH // 4) for _ in range(2)]
    eight(lambda number: count_up(lock, counter))
    for child in children:
        child.join(LIMIT_S)  # they have to come by the lock among all threads
    join(*children)
    assert counter.value == THREADS * (EACH // 2) + len(children) * (EACH // 4)


@pytest.mark.parametrize("kind", LOCKS)
def test_who_may_not_wait_gets_it_or_not(kind):
    lock = getattr(procession, kind)(*LOCKS[kind])
    holders, taken = [], []

    def try_it(number):
        for _ in range(EACH):
            if lock.acquire(False):
                holders.append(number)
                assert holders == [number]
                holders.remove(number)
                lock.release()
                taken.append(number)

    eight(try_it)
    assert taken


def test_a_semaphore_has_as_many_as_it_was_given():
    semaphore, inside = procession.BoundedSemaphore(3), []

    def go_in(number):
        for _ in range(EACH // 2):
            with semaphore:
                inside.append(number)
                assert len(inside) <= 3
                inside.remove(number)

    eight(go_in)
    assert semaphore.get_value() == 3


def test_a_recursive_lock_knows_its_thread():
    lock, depth = procession.RLock(), []

    def go_down(number):
        for _ in range(EACH // 2):
            with lock, lock, lock:
                depth.append(number)
                assert depth == [number]
                depth.pop()
        with pytest.raises(AssertionError):
            lock.release()

    eight(go_down)


def test_a_condition_hands_each_thing_to_one(context):
    condition, things, each = context.Condition(), [], EACH // 2

    def make(number):
        for turn in range(each):
            with condition:
                things.append((number, turn))
                condition.notify()

    def take():
        taken = []
        for _ in range(each):
            with condition:
                assert condition.wait_for(lambda: things, LIMIT_S)
                taken.append(things.pop())
        return taken

    half = THREADS // 2
    answers = at_once(*(lambda number=number: make(number) for number in range(half)), *[take] * half)
    assert sorted(sum(answers[half:], [])) == [(n, turn) for n in range(half) for turn in range(each)]


def test_notify_all_wakes_all(context):
    condition, turn = context.Condition(), [0]

    def follow():
        for number in range(1, 31):
            with condition:
                assert condition.wait_for(lambda number=number: turn[0] >= number, LIMIT_S)

    def lead():
        for _ in range(30):
            with condition:
                turn[0] += 1
                condition.notify_all()

    at_once(*[follow] * (THREADS - 1), lead)


def test_an_event_wakes_all_each_time(context):
    events = [context.Event() for _ in range(30)]

    def follow():
        return all(event.wait(LIMIT_S) for event in events)

    def lead():
        for event in events:
            event.set()
            assert event.is_set()

    assert all(at_once(*[follow] * (THREADS - 1), lead)[:-1])


def test_a_barrier_lets_all_go_at_once(context):
    barrier, seen = context.Barrier(THREADS), []

    def go(number):
        places = []
        for turn in range(40):
            seen.append(turn)
            places.append(barrier.wait(LIMIT_S))
            assert seen.count(turn) == THREADS
        return places

    for places in zip(*eight(go), strict=True):
        assert sorted(places) == list(range(THREADS))
