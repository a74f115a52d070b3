"""Locks, semaphores, conditions, events and barriers between processes, and the deaths of those who hold them."""

import inspect
import multiprocessing
import os
import pickle
import signal
import threading
import time

import procession
import pytest
from procession import OwnerDied
from tasks.children import join, start

LIMIT = 60


def acquire_and_tell(lock, taken):
    lock.acquire()
    taken.set()
    time.sleep(3600)


def killed_holder(context, lock):
    taken = context.Event()
    child = start(context, acquire_and_tell, lock, taken)
    assert taken.wait(LIMIT)
    os.kill(child.pid, signal.SIGKILL)
    return child


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_the_lock_of_a_killed_owner_goes_to_the_next_with_a_warning(context, kind):
    lock = getattr(context, kind)()
    child = killed_holder(context, lock)
    with pytest.warns(OwnerDied):
        assert lock.acquire(timeout=LIMIT)
    assert lock.locked()
    lock.release()
    assert lock.acquire(block=False)
    lock.release()
    child.join(LIMIT)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_robust_lock_raises_while_it_is_held(context, kind):
    lock = getattr(context, kind)(robust=True)
    child = killed_holder(context, lock)
    with pytest.raises(OwnerDied):
        lock.acquire(timeout=LIMIT)
    assert lock._is_mine()
    lock.release()
    child.join(LIMIT)


def add_one(lock, number, times):
    for _ in range(times):
        with lock:
            value = int.from_bytes(os.pread(number, 8, 0), "little")
            os.pwrite(number, (value + 1).to_bytes(8, "little"), 0)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_only_one_process_holds_a_lock(kind):
    context = procession.get_context("fork")
    lock = getattr(context, kind)()
    number = os.memfd_create("test")
    try:
        os.pwrite(number, bytes(8), 0)
        join(*[start(context, add_one, lock, number, 2000) for _ in range(3)])
        assert int.from_bytes(os.pread(number, 8, 0), "little") == 6000
    finally:
        os.close(number)


def release_it(lock):
    lock.release()


def test_another_process_may_release_a_lock(context):
    lock = context.Lock()
    lock.acquire()
    join(start(context, release_it, lock))
    assert not lock.locked()
    with pytest.raises(ValueError):
        lock.release()


def test_a_recursive_lock_is_released_by_its_owner_alone():
    lock = procession.RLock()
    with pytest.raises(AssertionError):
        lock.release()
    assert lock.acquire() and lock.acquire()
    errors = []

    def release():
        try:
            lock.release()
        except AssertionError as error:
            errors.append(error)

    thread = threading.Thread(target=release)
    thread.start()
    thread.join()
    assert errors
    lock.release()
    lock.release()
    assert repr(lock) == "<RLock(None, 0)>"


def test_a_bounded_semaphore_refuses_one_release_too_many():
    semaphore = procession.BoundedSemaphore(2)
    assert semaphore.acquire() and semaphore.acquire() and not semaphore.acquire(False)
    semaphore.release()
    semaphore.release()
    with pytest.raises(ValueError):
        semaphore.release()
    assert semaphore.get_value() == 2


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_an_acquire_that_runs_out_of_time_says_false(timeout):
    lock = procession.Lock()
    lock.acquire()
    assert lock.acquire(True, timeout) is False
    assert lock.acquire(False) is False
    with pytest.raises(ValueError):
        lock.acquire(timeout=float("nan"))
    with pytest.raises(TypeError):
        lock.acquire(timeout="1")


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_bad_arguments_take_nothing(kind):
    taken = getattr(procession, kind)()
    for timeout, error in (("1", TypeError), (float("nan"), ValueError), ([], TypeError)):
        with pytest.raises(error, match="timeout"):
            taken.acquire(timeout=timeout)
    with pytest.raises(TypeError):
        taken.acquire(True, 1, 2)
    with pytest.raises(TypeError):
        taken.acquire(blocking=True)
    assert not taken.locked()


# How a lock may be taken, given back and entered, or not.
CALLS = [
    lambda it: it.acquire(True, None),
    lambda it: it.acquire(block=True, timeout=0.5),
    lambda it: it.acquire(False, timeout=None),
    lambda it: it.acquire(timeout=-1, block=1),
    lambda it: it.acquire(**{"block": False}),
    lambda it: it.acquire(True, block=True),
    lambda it: it.acquire(True, 1, 2),
    lambda it: it.acquire(True, None, timeout=1),
    lambda it: it.acquire(wait=True),
    lambda it: it.acquire(True, 1, **{"": 2}),
    lambda it: it.release(1),
    lambda it: it.release(count=1),
    lambda it: it.__enter__(),
    lambda it: it.__enter__(1),
    lambda it: it.__exit__(None, None, None, None),
]


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_takes_the_arguments_that_it_takes_in_the_standard_library(kind, call):
    def outcome(library):
        it = getattr(library, kind)()
        try:
            return call(it), it._semlock._is_zero()
        except TypeError:
            return TypeError, it._semlock._is_zero()

    assert outcome(procession) == outcome(multiprocessing)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_an_object_of_another_class_is_no_lock(kind):
    for method in ("acquire", "release", "__enter__"):
        for other in (procession.Event(), object(), None):
            with pytest.raises(TypeError):
                getattr(getattr(procession.synchronize, kind), method)(other)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore"])
def test_a_truth_value_that_fails_takes_nothing(kind):
    class Neither:
        def __bool__(self):
            raise ZeroDivisionError

    it = getattr(procession, kind)()
    with pytest.raises(ZeroDivisionError):
        it.acquire(Neither())
    assert not it.locked()


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_the_signature_of_acquire_can_be_looked_up(kind):
    assert str(inspect.signature(getattr(procession, kind)().acquire)) == "(block=True, timeout=None)"


@pytest.mark.parametrize("block", [False, 0, None, ""])
def test_what_counts_as_false_does_not_block(block):
    lock = procession.Lock()
    assert lock.acquire(block) is True
    assert lock.acquire(block) is False
    assert lock.acquire(block, 60) is False


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition", "Event"])
def test_a_primitive_is_pickled_for_a_child_that_starts_only(kind):
    with pytest.raises(RuntimeError):
        pickle.dumps(getattr(procession, kind)())


def wait_for_notice(condition, asleep, woken):
    with condition:
        asleep.release()
        condition.wait()
        woken.release()


def test_notify_wakes_as_many_as_it_says(context):
    condition, asleep, woken = context.Condition(), context.Semaphore(0), context.Semaphore(0)
    children = [start(context, wait_for_notice, condition, asleep, woken) for _ in range(3)]
    for _ in children:
        assert asleep.acquire(timeout=LIMIT)
    with condition:
        condition.notify(2)
    assert woken.acquire(timeout=LIMIT) and woken.acquire(timeout=LIMIT)
    assert not woken.acquire(timeout=0.1)
    with condition:
        condition.notify_all()
    join(*children)


def test_a_killed_waiter_swallows_no_notice(context):
    condition, asleep, woken = context.Condition(), context.Semaphore(0), context.Semaphore(0)
    doomed = start(context, wait_for_notice, condition, asleep, woken)
    assert asleep.acquire(timeout=LIMIT)
    with condition:  # it waits by now: the lock is free
        pass
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.join(LIMIT)
    child = start(context, wait_for_notice, condition, asleep, woken)
    assert asleep.acquire(timeout=LIMIT)
    with condition:
        condition.notify()
    assert woken.acquire(timeout=LIMIT)
    join(child)


def test_waiting_without_the_lock_is_an_error():
    condition = procession.Condition()
    with pytest.raises(AssertionError):
        condition.wait(0.01)
    with pytest.raises(AssertionError):
        condition.notify()
    with condition:
        assert condition.wait(0.01) is False
        assert condition.wait_for(lambda: 7, 0.01) == 7


def wait_for_event(event):
    assert event.wait(LIMIT)


@pytest.mark.parametrize("lock", [threading.Lock(), 1, "lock", object()])
def test_a_condition_refuses_a_lock_of_another_kind(lock):
    with pytest.raises(TypeError, match="Lock or an RLock"):
        procession.Condition(lock)


@pytest.mark.parametrize("make", [procession.Lock, procession.RLock])
def test_a_condition_uses_the_lock_it_is_given(make):
    lock = make()
    condition = procession.Condition(lock)
    with condition:
        assert lock.locked() and condition._lock is lock
        condition.notify(0)
        condition.notify_all()
        assert condition.wait(0) is False
        assert lock.locked()
    assert not lock.locked()


def test_an_event_lets_everybody_go(context):
    event = context.Event()
    children = [start(context, wait_for_event, event) for _ in range(2)]
    assert not event.wait(0.01)
    event.set()
    join(*children)
    assert event.is_set()
    event.clear()
    assert not event.is_set()


def meet(barrier, results):
    results.put(barrier.wait(LIMIT))


def test_the_parties_of_a_barrier_meet(context):
    barrier, results = context.Barrier(3), context.Queue()
    for _ in range(2):
        children = [start(context, meet, barrier, results) for _ in range(3)]
        assert sorted(results.get(timeout=LIMIT) for _ in children) == [0, 1, 2]
        join(*children)
    assert barrier.n_waiting == 0


def come_and_wait(barrier, coming):
    coming.set()
    barrier.wait(3600)


def test_a_barrier_does_not_count_the_dead(context):
    barrier, coming = context.Barrier(2), context.Event()
    child = start(context, come_and_wait, barrier, coming)
    assert coming.wait(LIMIT)
    end = time.monotonic() + LIMIT
    while not barrier.n_waiting and time.monotonic() < end:
        os.sched_yield()
    os.kill(child.pid, signal.SIGKILL)
    child.join(LIMIT)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.05)
    assert barrier.broken
    barrier.reset()
    assert not barrier.broken


def fail():
    raise ZeroDivisionError


def test_a_failed_action_breaks_the_barrier():
    barrier = procession.Barrier(1, fail)
    with pytest.raises(ZeroDivisionError):
        barrier.wait()
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()


@pytest.mark.parametrize("wait", ["lock", "semaphore", "event", "condition", "barrier", "queue"])
def test_a_signal_handler_that_raises_ends_a_wait(wait):
    def handler(number, frame):
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, handler)
    taken, condition = procession.Lock(), procession.Condition()
    taken.acquire()
    waits = {
        "lock": taken.acquire,
        "semaphore": procession.Semaphore(0).acquire,
        "event": procession.Event().wait,
        "condition": condition.wait,
        "barrier": procession.Barrier(2).wait,
        "queue": procession.Queue().get,
    }
    try:
        with condition, pytest.raises(InterruptedError):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            waits[wait]()
        assert not condition._lock.locked()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_the_permit_of_a_killed_holder_is_given_back(context, kind):
    semaphore = getattr(context, kind)(1)
    child = killed_holder(context, semaphore)
    assert semaphore.acquire(timeout=LIMIT)
    semaphore.release()
    assert semaphore.get_value() == 1
    child.join(LIMIT)


def test_a_killed_consumer_makes_no_event_of_a_counting_semaphore(context):
    semaphore = context.Semaphore(0)
    semaphore.release()
    child = killed_holder(context, semaphore)
    child.join(LIMIT)
    assert not semaphore.acquire(timeout=0.2)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Event"])
def test_a_subclass_has_arguments_of_its_own(kind):
    parent = getattr(procession.synchronize, kind)

    class Named(parent):
        def __init__(self, name, *, ctx=None):
            super().__init__(ctx=ctx)
            self.name_of_mine = name

    assert isinstance(Named("gate", ctx=procession.get_context()), parent)
    assert list(inspect.signature(Named).parameters) == ["name", "ctx"]
    assert "ctx" in inspect.signature(parent).parameters and "args" not in inspect.signature(parent).parameters
    with pytest.raises(TypeError, match="positional argument"):
        parent("gate")
    with pytest.raises(TypeError, match="unexpected keyword argument 'name'"):
        parent(name="gate")
