"""What the clients of a manager hold, and who has it when they are killed."""

import functools
import gc
import multiprocessing.managers
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref

import pytest
from procession import current_process
from procession._manager import holders
from procession.managers import AcquirerProxy, BaseManager, ConditionProxy, SyncManager
from procession.synchronize import OwnerDied

LIMIT_S = 60
# Longer than a server needs to see that a process has ended.
SOON_S = 1.5

_lock, _again, _permits, _condition = threading.Lock(), threading.RLock(), threading.Semaphore(1), threading.Condition()


def _get_lock():
    return _lock


def _get_again():
    return _again


def _get_permits():
    return _permits


def _get_condition():
    return _condition


class OwnLocks(BaseManager):
    """A manager of locks that its user made."""


OwnLocks.register("Lock", _get_lock, AcquirerProxy)
OwnLocks.register("RLock", _get_again, AcquirerProxy)
OwnLocks.register("Semaphore", _get_permits, AcquirerProxy)
OwnLocks.register("Condition", _get_condition, ConditionProxy)
OwnLocks.register("Event", threading.Event)

KINDS = ["Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore"]


@pytest.fixture
def manager(context):
    with SyncManager(ctx=context) as manager:
        yield weakref.proxy(manager)  # pytest holds what it gets for longer than the test


def stay():
    threading.Event().wait()


def take_and_stay(lock, taken, times=1):
    for _ in range(times):
        lock.acquire()
    taken.set()
    stay()


def take_all_and_stay(locks, taken):
    for lock in locks:
        lock.acquire()
    taken.set()
    stay()


def killed(context, target, *args):
    """Run `target(*args, ready)` until it says that it is ready, and kill it."""
    ready = context.Event()
    child = context.Process(target=target, args=(*args, ready))
    child.start()
    assert ready.wait(LIMIT_S)
    child.kill()
    child.join(LIMIT_S)
    assert child.exitcode == -signal.SIGKILL


def is_to_be_had(lock, told):
    """Take the lock and give it back, with a warning if its owner's death is told."""
    if told:
        with pytest.warns(OwnerDied, match="half changed") as told:
            assert lock.acquire(True, LIMIT_S)
        assert told[0].filename == __file__
    else:
        assert lock.acquire(True, LIMIT_S)
    lock.release()


def of_all_kinds(manager, kinds=KINDS):
    """Return locks of a manager, by their kinds; one client holds all of them at once."""
    return {kind: getattr(manager, kind)() for kind in kinds}


def stay_taken(locks):
    """Check that no lock is to be had, nor is soon."""
    first, *others = locks
    assert not first.acquire(True, SOON_S)
    assert not any(lock.acquire(False) for lock in others)


def test_what_a_killed_client_held_goes_to_the_next(manager, context):
    locks = of_all_kinds(manager)
    killed(context, take_all_and_stay, list(locks.values()))
    for kind, lock in locks.items():
        is_to_be_had(lock, told="Semaphore" not in kind)
        with lock:  # and that is told once
            pass


def take_often(lock, taken):
    take_and_stay(lock, taken, 3)


def test_a_lock_that_its_owner_took_often_goes_to_the_next(manager, context):
    lock = manager.RLock()
    killed(context, take_often, lock)
    is_to_be_had(lock, told=True)
    with pytest.raises(RuntimeError):
        lock.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_a_robust_lock_raises_that_its_owner_died_and_is_held(manager, context, kind):
    lock = getattr(manager, kind)(robust=True)
    killed(context, take_and_stay, lock)
    with pytest.raises(OwnerDied):
        lock.acquire()
    assert lock.locked()
    lock.release()
    with lock:
        pass


@pytest.mark.filterwarnings("error::procession.OwnerDied")
def test_a_warning_made_an_error_leaves_nobody_with_the_lock(manager, context):
    lock = manager.Lock()
    killed(context, take_and_stay, lock)
    with pytest.raises(OwnerDied):
        lock.acquire()
    assert not lock.locked()


def take_and_wait_for(locks, values, taken):
    for lock in locks:
        lock.acquire()
    taken.set()
    values.get()


def test_a_client_that_is_killed_while_it_waits_for_something_else_gives_up_what_it_holds(manager, context):
    locks = of_all_kinds(manager)
    killed(context, take_and_wait_for, list(locks.values()), manager.Queue())
    for kind, lock in locks.items():
        is_to_be_had(lock, told="Semaphore" not in kind)


def take_in_threads(locks, taken):
    def take(lock):
        lock.acquire()
        count.release()
        stay()

    count = threading.Semaphore(0)
    for lock in locks:
        threading.Thread(target=take, args=(lock,), daemon=True).start()
    for _ in locks:
        count.acquire()
    taken.set()
    stay()


def test_what_the_threads_of_a_killed_client_held_goes_to_the_next(manager, context):
    locks = [manager.Lock(), manager.RLock(), manager.Condition()]
    killed(context, take_in_threads, locks)
    for lock in locks:
        is_to_be_had(lock, told=True)


def take_and_disconnect(locks, taken, go_on, released):
    for lock in locks:
        lock.acquire()
    locks[0]._links.forget()
    gc.collect()
    taken.set()
    go_on.wait(LIMIT_S)
    for lock in locks:
        lock.release()
    released.set()


def test_a_client_that_lives_keeps_what_it_holds_without_a_connection(manager, context):
    locks = list(of_all_kinds(manager).values())
    taken, go_on, released = (context.Event() for _ in range(3))
    child = context.Process(target=take_and_disconnect, args=(locks, taken, go_on, released))
    child.start()
    assert taken.wait(LIMIT_S)
    stay_taken(locks)
    go_on.set()
    for lock in locks:
        assert lock.acquire(True, LIMIT_S)
    assert released.wait(LIMIT_S)
    for lock in locks:
        lock.release()
    child.join(LIMIT_S)
    assert child.exitcode == 0


def take_in_a_thread_that_ends(lock, taken, go_on):
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    taken.set()
    go_on.wait(LIMIT_S)
    lock.release()


def test_a_lock_outlives_the_thread_that_took_it(manager, context):
    lock = manager.Lock()
    taken, go_on = context.Event(), context.Event()
    child = context.Process(target=take_in_a_thread_that_ends, args=(lock, taken, go_on))
    child.start()
    assert taken.wait(LIMIT_S) and not lock.acquire(True, SOON_S)
    go_on.set()
    assert lock.acquire(True, LIMIT_S)
    lock.release()
    child.join(LIMIT_S)


def take_and_fork(locks, taken, go_on):
    for lock in locks:
        lock.acquire()
    pid = os.fork()
    if pid == 0:
        for lock in locks:
            lock.acquire(False)  # the fork is another client, which ends now
        os._exit(0)
    os.waitpid(pid, 0)
    taken.set()
    go_on.wait(LIMIT_S)
    for lock in locks:
        lock.release()


def test_the_end_of_a_fork_takes_nothing_from_its_parent(manager, context):
    locks = list(of_all_kinds(manager, ["Lock", "RLock", "Semaphore"]).values())
    taken, go_on = context.Event(), context.Event()
    child = context.Process(target=take_and_fork, args=(locks, taken, go_on))
    child.start()
    assert taken.wait(LIMIT_S)
    stay_taken(locks)
    go_on.set()
    for lock in locks:
        assert lock.acquire(True, LIMIT_S)
        lock.release()
    child.join(LIMIT_S)
    assert child.exitcode == 0


def release_for(locks, released):
    for lock in locks:
        lock.release()
    released.set()
    stay()


def test_what_another_client_gave_back_is_not_given_back_again(manager, context):
    locks = list(of_all_kinds(manager, ["Lock", "Semaphore"]).values())
    for lock in locks:
        lock.acquire()
    killed(context, release_for, locks)
    for lock in locks:
        assert lock.acquire(False) and not lock.acquire(False)


def wait_for_notice(condition, waits):
    with condition:
        waits.set()
        condition.wait()


@pytest.fixture(params=[None, ("127.0.0.1", 0)], ids=["local", "network"])
def manager_anywhere(context, request):
    with SyncManager(request.param, b"key", ctx=context) as manager:
        current_process().authkey, before = b"key", current_process().authkey
        yield weakref.proxy(manager)
        current_process().authkey = before


def test_a_killed_waiter_of_a_condition_swallows_no_notice(manager_anywhere, context):
    condition, waiting = manager_anywhere.Condition(), context.Event()
    children = [context.Process(target=wait_for_notice, args=(condition, waiting)) for _ in range(2)]
    for child in children:
        child.start()
        assert waiting.wait(LIMIT_S)
        waiting.clear()
        with condition:  # to be had when that one waits
            pass
    first, second = children
    first.kill()
    first.join(LIMIT_S)
    with condition:
        condition.notify()
    second.join(LIMIT_S)
    assert second.exitcode == 0


class Queues(BaseManager):
    """A manager of queues that are in this process."""


def get_from(address, waits):
    Queues.register("Queue", exposed=("get", "put"))
    client = Queues(address, b"key")
    client.connect()
    items = client.Queue()
    waits.set()
    items.get()


@pytest.mark.filterwarnings("ignore::procession.ForkBesideThreads")
@pytest.mark.parametrize("address, kind", [
    (None, "Queue"), (None, "LifoQueue"), (None, "PriorityQueue"), (("127.0.0.1", 0), "Queue"),
], ids=["local", "local, last first", "local, by priority", "network"])  # fmt: skip
def test_a_killed_waiter_of_a_queue_takes_nothing_from_it(context, address, kind):
    items = getattr(queue, kind)()
    Queues.register("Queue", lambda: items, exposed=("get", "put"))
    server = Queues(address, b"key").get_server()
    serving = threading.Thread(target=serve, args=(server,), daemon=True)
    serving.start()
    waits = context.Event()
    child = context.Process(target=get_from, args=(server.address, waits))
    child.start()
    assert waits.wait(LIMIT_S)
    while not items.not_empty._waiters:
        assert child.is_alive()
    child.kill()
    child.join(LIMIT_S)
    taken, get = threading.Event(), items._get
    items._get = lambda: (taken.set(), get())[1]
    items.put("one")
    assert taken.wait(LIMIT_S)  # for the one who died, and is given back
    assert items.get(timeout=LIMIT_S) == "one"
    server.stop_event.set()
    serving.join(LIMIT_S)
    assert not serving.is_alive()


def serve(server):
    with pytest.raises(SystemExit):
        server.serve_forever()
    del current_process()._manager_server


def wait_for_lock(lock, waits):
    waits.set()
    lock.acquire()


def test_that_an_owner_died_is_told_to_the_next_who_lives(manager_anywhere, context):
    lock, taken, waits = manager_anywhere.Lock(), context.Event(), context.Event()
    owner = context.Process(target=take_and_stay, args=(lock, taken))
    owner.start()
    assert taken.wait(LIMIT_S)
    waiter = context.Process(target=wait_for_lock, args=(lock, waits))
    waiter.start()
    assert waits.wait(LIMIT_S)
    for _ in range(100):  # until the waiter's request has come, as a rule
        assert not lock.acquire(False)
    for child in waiter, owner:
        child.kill()
        child.join(LIMIT_S)
    is_to_be_had(lock, told=True)


def come(barrier, coming):
    coming.set()
    barrier.wait()


def test_a_killed_party_of_a_barrier_is_not_counted(manager, context):
    barrier = manager.Barrier(2)
    coming = context.Event()
    child = context.Process(target=come, args=(barrier, coming))
    child.start()
    while barrier.n_waiting < 1:
        assert child.is_alive()
    child.kill()
    child.join(LIMIT_S)
    assert barrier.n_waiting == 0
    child = context.Process(target=come, args=(barrier, coming))
    child.start()
    assert barrier.wait(LIMIT_S) in (0, 1)
    child.join(LIMIT_S)
    assert child.exitcode == 0 and not barrier.broken


def test_a_lock_of_the_users_own_goes_to_the_next_as_well(context):
    with OwnLocks(ctx=context) as manager:
        locks = of_all_kinds(manager, ["Lock", "RLock", "Semaphore", "Condition"])
        killed(context, take_all_and_stay, list(locks.values()))
        for kind, lock in locks.items():
            is_to_be_had(lock, told=kind == "Lock")
            with lock:
                pass


def from_elsewhere(target, lock, ready):
    # As if on another machine, whose processes the server cannot see.
    holders._place = lambda: "elsewhere"
    holders._me = None
    target(lock, ready)


def take_alone(lock, taken):
    lock.acquire()
    lock._links._local = threading.local()
    gc.collect()
    taken.set()
    stay()


TAKEN = {"Lock": take_alone, "RLock": take_and_stay, "Semaphore": take_alone}


def test_what_a_client_from_elsewhere_held_goes_to_the_next_when_it_ends(manager, context):
    locks = of_all_kinds(manager, TAKEN)
    children = []
    for kind, lock in locks.items():
        ready = context.Event()
        children.append(context.Process(target=from_elsewhere, args=(TAKEN[kind], lock, ready)))
        children[-1].start()
        assert ready.wait(LIMIT_S)
    stay_taken(locks.values())
    for child in children:
        child.kill()
        child.join(LIMIT_S)
    for kind, lock in locks.items():
        is_to_be_had(lock, told="Semaphore" not in kind)


def take_and_wait_with(waited, lock, ready):
    lock.acquire()
    if hasattr(waited, "notify"):
        waited.acquire()
    ready.set()
    (waited.get if hasattr(waited, "get") else waited.wait)()


def test_what_a_client_from_elsewhere_held_goes_to_the_next_whatever_it_waits_for(manager, context):
    barrier = manager.Barrier(2)
    waited = [manager.Queue(), manager.Event(), manager.Condition(), barrier]
    locks = [manager.Lock() for _ in waited]
    children = []
    for what, lock in zip(waited, locks, strict=True):
        ready = context.Event()
        target = functools.partial(take_and_wait_with, what)
        children.append(context.Process(target=from_elsewhere, args=(target, lock, ready)))
        children[-1].start()
        assert ready.wait(LIMIT_S)
    with waited[2]:  # to be had when that one waits
        pass
    while barrier.n_waiting < 1:
        assert children[-1].is_alive()
    stay_taken(locks)
    for child, lock in zip(children, locks, strict=True):
        child.kill()
        child.join(LIMIT_S)
        is_to_be_had(lock, told=True)
    assert barrier.n_waiting == 0


STANDARD_CLIENT = """
import sys, threading
from multiprocessing.managers import AcquirerProxy, BaseManager
class Client(BaseManager): pass
Client.register("Lock", proxytype=AcquirerProxy)
client = Client(sys.argv[1], b"key")
client.connect()
lock = client.Lock()
lock.acquire()
print("taken", flush=True)
threading.Event().wait()
"""


def test_what_a_client_of_the_standard_library_held_goes_to_the_next(context):
    with OwnLocks(None, b"key", ctx=context) as manager:
        lock = manager.Lock()
        program = [sys.executable, "-c", STANDARD_CLIENT, manager.address]
        with subprocess.Popen(program, stdout=subprocess.PIPE) as client:
            assert client.stdout.readline() == b"taken\n" and not lock.acquire(False)
            client.kill()
        is_to_be_had(lock, told=True)


class StandardClient(multiprocessing.managers.BaseManager):
    """A client by the standard library."""


StandardClient.register("Lock", proxytype=multiprocessing.managers.AcquirerProxy)


def test_a_client_of_the_standard_library_takes_a_lock_of_the_dead_untold(context):
    with OwnLocks(None, b"key", ctx=context) as manager:
        killed(context, take_and_stay, manager.Lock())
        client = StandardClient(manager.address, b"key")
        client.connect()
        lock = client.Lock()
        assert lock.acquire(True, LIMIT_S)
        lock.release()


def interrupted(wait):
    """Have a signal's handler end a wait."""
    alarm = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError))
    try:
        with pytest.raises(TimeoutError):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, alarm)


def elsewhere(call, *args):
    """Return what a call gives in another thread, which is another owner of locks."""
    return begun(call, *args)()


def begun(call, *args):
    """Begin a call in another thread; return what waits for its end and gives what it gave."""
    given = queue.Queue()
    thread = threading.Thread(target=lambda: given.put(call(*args)), daemon=True)
    thread.start()

    def end():
        thread.join(LIMIT_S)
        return given.get(timeout=0)

    return end


def test_an_interrupted_request_leaves_its_thread_the_owner_of_its_lock(manager):
    lock, values = manager.RLock(), manager.Queue()
    lock.acquire()
    interrupted(values.get)
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


@pytest.mark.parametrize("kind, depth", [("none", 1), ("none", 2), ("RLock", 2), ("Lock", 1)])
def test_an_interrupted_wait_for_a_condition_has_its_lock_again(manager, kind, depth):
    condition = manager.Condition(*([] if kind == "none" else [getattr(manager, kind)()]))
    for _ in range(depth):
        condition.acquire()
    interrupted(condition.wait)
    for _ in range(depth):
        assert not elsewhere(condition.acquire, False)
        condition.release()
    with pytest.raises(RuntimeError):
        condition.release()
    # Whoever waits next is the one who is woken.
    in_wait = threading.Event()

    def wait():
        with condition:
            in_wait.set()
            return condition.wait(LIMIT_S)

    woken = begun(wait)
    assert in_wait.wait(LIMIT_S)
    with condition:
        condition.notify()
    assert woken()


def test_an_interrupted_wait_at_a_barrier_is_not_counted(manager):
    barrier = manager.Barrier(2)
    interrupted(barrier.wait)
    assert barrier.n_waiting == 0
    interrupted(barrier.wait)  # or it had passed alone
    other = begun(barrier.wait, LIMIT_S)
    assert {barrier.wait(LIMIT_S), other()} == {0, 1}


def test_a_condition_shares_the_lock_of_a_proxy(manager, context):
    lock = manager.Lock()
    condition = manager.Condition(lock)
    with condition:
        assert not lock.acquire(False)
    killed(context, take_and_stay, condition)
    is_to_be_had(lock, told=True)


def take_all_and_end(locks):
    for lock in locks:
        lock.acquire()


def test_what_a_client_had_when_it_ended_another_may_give_back(manager, context):
    locks = list(of_all_kinds(manager, ["Lock", "Semaphore", "BoundedSemaphore"]).values())
    marker = manager.Lock()
    child = context.Process(target=take_all_and_end, args=([*locks, marker],))
    child.start()
    child.join(LIMIT_S)
    is_to_be_had(marker, told=True)  # so the server knows that the client has ended
    for lock in locks:
        lock.release()
        assert lock.acquire(False) and not lock.acquire(False)
        lock.release()
