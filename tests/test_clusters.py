"""Pools, processes and what they share on the nodes of a cluster, and what becomes of it when something of it dies.

A long file: all of it is tried on one cluster, which takes long to start.
"""

import contextlib
import ctypes
import functools
import importlib
import itertools
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy
import procession
import pytest
from procession._cluster import agent, crew, driver, events, flights, keys, mailbox, staff
from procession._cluster.engine import Engine, Place
from procession._testing.belongings import state_of
from procession.connection import wait
from procession.futures import ProcessPoolExecutor
from procession.synchronize import OwnerDied

from tests import test_programs as programs
from tests.cluster_nodes import ROOT
from tests.tasks import cluster_objects as objects, cluster_tasks as tasks, crews as suite

# Ray is large: `scripts/clusters` has it, and names both.
ENGINES = os.environ.get("CLUSTERS", "dask").split()
CLUSTERS = {engine: importlib.import_module(f"tests.{engine}_nodes").Cluster for engine in ENGINES}


@pytest.fixture(scope="module", params=ENGINES)
def cluster(request, tmp_path_factory):
    """Two nodes of one CPU each, which share nothing with this program but the disk."""
    # Not before: dask changes how exceptions are pickled in the whole process, and has a thread there from then on.
    pytest.importorskip({"dask": "distributed", "mpi": "mpi4py"}.get(request.param, request.param))
    cluster = CLUSTERS[request.param](tmp_path_factory.mktemp(request.param))
    yield cluster
    cluster.close()


@pytest.fixture
def context(cluster):
    """The context whose pools work there."""
    return procession.get_context(cluster.engine)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Fail a test that leaves a thread of a pool; the connection to the cluster stays as long as that."""
    yield
    until = time.monotonic() + suite.LIMIT_S
    while left := [thread.name for thread in threading.enumerate() if thread.name.startswith("Cluster")]:
        assert time.monotonic() < until, f"left behind: {left}"
        time.sleep(0.01)


# They may have one pool in common: it takes long to start.
OF_ONE_POOL = [
    suite.calls, suite.maps, suite.lazy_maps, suite.endless_maps, suite.awaiting, suite.wishes, suite.wrong_arguments,
]  # fmt: skip


@pytest.mark.timeout(300)  # of all of them
def test_a_pool_on_a_cluster_does_what_is_asked_of_one(context, tmp_path):
    with context.Pool(2) as pool:
        for check in OF_ONE_POOL:
            check(lambda: contextlib.nullcontext(pool), crew.Nodes.offers, tmp_path)


@pytest.mark.parametrize("check", [check for check in suite.CHECKS if check not in OF_ONE_POOL])
def test_pools_on_a_cluster_begin_and_end_as_elsewhere(check, context, tmp_path):
    check(lambda processes=2, **options: context.Pool(processes, **options), crew.Nodes.offers, tmp_path)


def test_what_travels_arrives_as_it_was(context):
    with context.Pool() as pool:
        with pytest.raises(FileNotFoundError) as caught:
            pool.apply(tasks.not_there, ("/nowhere/at/all",))
        assert caught.value.errno == 2 and caught.value.filename == "/nowhere/at/all"
        with pytest.raises(KeyError) as caught:
            pool.map(tasks.missing_key, ["k"])
        assert caught.value.args == ("k",)
        values = [[1, [2]], (1, [2]), {"a": {1}}, None, b"x", 2**70, lambda: 5]
        assert pool.map(tasks.as_it_came, values[:-1]) == values[:-1]
        assert pool.apply(tasks.as_it_came, values[-1:])() == 5
        array = numpy.arange(100_000.0)
        assert numpy.array_equal(pool.apply(tasks.add_one, (array,)), array + 1)
        came = pool.map(tasks.as_it_came, [array])[0]
        came += 1  # can be written to, as with processes of this machine
        large = functools.partial(tasks.total, array)
        assert pool.map(large, range(3)) == [array.sum() + n for n in range(3)]
        changing = functools.partial(tasks.count_in, array)
        assert pool.map(changing, range(6), 1) == [1.0] * 6 and array[0] == 0.0, (
            "a task saw what another one had written"
        )
        array[:] = 0  # is seen as it is now
        assert pool.map(large, range(3)) == [0.0, 1.0, 2.0]
        with pytest.raises((TypeError, AttributeError), match="thread"):
            pool.map(tasks.as_it_came, [1, threading.Lock()])
        assert len(set(pool.map(tasks.where, range(50), 1))) == 2, "one node did it all"


def test_a_worker_that_dies_costs_its_task_and_a_cancelled_task_ends(context):
    with context.Pool() as pool:
        with pytest.raises(procession.WorkerDied, match="die"):
            pool.apply(tasks.die, (1,))
        outcomes = pool.imap_unordered(tasks.die, range(2))
        for _ in range(2):
            with pytest.raises(procession.WorkerDied):
                next(outcomes)
        long = [pool.apply_async(tasks.sleep_long, (600,)) for _ in range(2)]
        while pool.stats().running < 2:
            time.sleep(0.01)
        assert all(result.cancel() for result in long)
        assert pool.map(suite.double, range(4)) == [0, 2, 4, 6]


def test_what_a_lost_node_had_is_done_by_the_others(cluster, context):
    with context.Pool(4, resources={"card": 1}, resource_env={"card": "CARD"}) as pool:
        whole = pool.map_async(tasks.slow_drawn, range(40), 1, seed=3)
        held = pool.map_async(tasks.hold, range(20), 1, resources={"card": 1})
        alone = [pool.apply_async(tasks.hold, (n,), resources={"card": 1}, priority=1) for n in range(4)]
        lazy = pool.imap_unordered(tasks.slow_square, range(40))
        single = [pool.apply_async(tasks.slow_square, (n,)) for n in range(10)]
        first = next(lazy)
        victim = cluster.nodes.pop(0)
        workers = cluster.workers_of(victim)
        cluster.lose(victim)
        drawn = [numpy.random.default_rng(child).random() for child in numpy.random.SeedSequence(3).spawn(40)]
        assert [(found[0], found[3]) for found in whole.get(suite.LIMIT_S)] == list(enumerate(drawn))
        assert sorted([first, *lazy]) == [n * n for n in range(40)]
        assert [result.get(suite.LIMIT_S) for result in single] == [n * n for n in range(10)]
        _check_held([*held.get(suite.LIMIT_S), *(result.get(suite.LIMIT_S) for result in alone)])
        until = time.monotonic() + suite.LIMIT_S
        while any((state := state_of(pid)) and state[0] != "Z" for pid in workers):
            assert time.monotonic() < until, "workers of a lost node go on"
            time.sleep(0.05)
        cluster.add()  # takes the place of the lost one
        while len(pool._pool) < 2:
            assert time.monotonic() < until, "nobody works in the place of a lost node"
            time.sleep(0.05)
        assert pool.map(suite.double, range(4), 1) == [0, 2, 4, 6]
        assert [worker.place for worker in pool.stats().workers] == list(range(4))


def _check_held(outcomes):
    """Fail where two tasks held the one card of a node at the same time."""
    spans: dict = {}
    for node, held, shown, begun, ended in outcomes:
        assert (held, shown) == ({"card": (0,)}, "0")
        spans.setdefault(node, []).append((begun, ended))
    for times in spans.values():
        times.sort()
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))


def test_processes_run_on_nodes_and_end_as_they_do_here(context, capfd):
    """One of each kind, all at once."""
    results, event = context.Queue(), context.Event()
    made = {
        "done": context.Process(target=objects.say, args=("hello",), name="speaker", daemon=True),
        "raised": context.Process(target=objects.fail),
        "exited": context.Process(target=sys.exit, kwargs={}, args=(3,)),
        "killed": context.Process(target=objects.put_and_sleep, args=(results, event)),
        "terminated": context.Process(target=objects.put_and_sleep, args=(results, event)),
        "interrupted": context.Process(target=objects.put_and_sleep, args=(results, event)),
        "own": objects.own_class(context.Process)(results, event, env={"OF_THE_TEST": "1"}),
    }
    assert not made["done"].is_alive() and made["done"].pid is None and made["done"].exitcode is None
    for process in made.values():
        process.start()
    assert event.wait(suite.LIMIT_S)
    told = [results.get(timeout=suite.LIMIT_S) for _ in range(4)]
    assert ("Own", True, "1") in told and {made[name].pid for name in ("killed", "terminated", "interrupted")} < set(
        told
    )
    assert made["killed"].is_alive() and made["killed"] in procession.active_children()
    made["killed"].join(0.01)
    assert made["killed"].exitcode is None and not wait([made["killed"].sentinel], 0)
    made["killed"].kill()
    made["terminated"].terminate()
    made["interrupted"].interrupt()
    assert wait([made["killed"].sentinel], suite.LIMIT_S)
    for process in made.values():
        process.join(suite.LIMIT_S)
    assert {name: process.exitcode for name, process in made.items()} == {
        "done": 0, "raised": 1, "exited": 3, "killed": -9, "terminated": -15, "interrupted": 1, "own": 0
    }  # fmt: skip
    assert len({process.node for process in made.values()}) == 2 and not procession.active_children()
    written = capfd.readouterr()
    assert "hello of speaker" in written.out and "ValueError: on a node" in written.err
    made["done"].close()
    with pytest.raises(ValueError, match="closed"):
        made["done"].is_alive()
    with pytest.raises(NotImplementedError, match="is of this machine"):
        context.Process(target=objects.say, args=(procession.Queue(),)).start()
    with pytest.raises((TypeError, AttributeError), match="thread"):
        context.Process(target=objects.say, args=(threading.Lock(),)).start()


def test_what_a_node_had_that_stands_still_is_done_by_the_others_and_is_lost(cluster, context, monkeypatch):
    monkeypatch.setattr(driver, "FROZEN_S", 2 * mailbox.COLLECT_S)
    with context.Pool() as pool:
        results = pool.imap_unordered(tasks.slow_square, range(60))
        found = [next(results)]
        victim = cluster.nodes.pop(0)
        cluster.freeze(victim)
        try:
            assert sorted([*found, *results]) == [n * n for n in range(60)]
        finally:
            cluster.lose(victim)
            cluster.add()
        until = time.monotonic() + suite.LIMIT_S
        while len(pool._pool) < 2:
            assert time.monotonic() < until, "nobody works in the place of a node that stood still"
            time.sleep(0.05)


def test_what_a_process_had_goes_on_when_its_node_is_lost(cluster, context):
    lock, event, (ours, theirs) = context.Lock(), context.Event(), context.Pipe()
    process = context.Process(target=objects.hold, args=(lock, event, theirs))
    process.start()
    theirs.close()
    assert event.wait(suite.LIMIT_S)
    victim = next(node for node in cluster.nodes if process.pid in cluster.workers_of(node))
    cluster.nodes.remove(victim)
    cluster.lose(victim)
    with pytest.warns(OwnerDied):
        assert lock.acquire(timeout=suite.LIMIT_S)
    with pytest.raises(EOFError):
        ours.recv()
    process.join(suite.LIMIT_S)
    assert process.exitcode == 255
    cluster.add()
    again = context.Process(target=objects.say, args=("again",))
    again.start()
    again.join(suite.LIMIT_S)
    assert again.exitcode == 0


PROGRAM = """
import sys

import procession

known = None

class Point:
    def __init__(self, x):
        self.x = x

def know(value):
    global known
    known = value

def what_is_known(point):
    return Point(point.x + known)

if __name__ == "__main__":
    with procession.get_context(sys.argv[1]).Pool(2, know, (40,)) as pool:
        points = pool.map(what_is_known, [Point(1), Point(2)])
        print([point.x for point in points], {type(point) is Point for point in points})
"""


def _what_prints(program, cluster, folder, *arguments):
    """Return what a program prints."""
    done = _run(program, cluster, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _run(program, cluster, folder, *arguments):
    """Run a program that has the cluster's address from its environment."""
    (folder / "program.py").write_text(program)
    environment = {**os.environ, cluster.variable: cluster.address}
    command = [sys.executable, folder / "program.py", cluster.engine, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_nodes_need_nothing_of_the_main_module(cluster, tmp_path):
    assert _what_prints(PROGRAM, cluster, tmp_path) == "[41, 42] {True}\n"


AT_THE_END = """
import os
import sys
import time

import procession

def late(event):
    event.wait(60)
    print("late")

def endless(queue):
    queue.put(os.getpid())
    time.sleep(600)

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    event, queue = context.Event(), context.Queue()
    context.Process(target=late, args=(event,)).start()
    context.Process(target=endless, args=(queue,), daemon=True).start()
    print(queue.get(timeout=60))
    event.set()
"""


def test_a_program_waits_for_its_processes_at_its_end_and_ends_daemons(cluster, tmp_path):
    pid, late = _what_prints(AT_THE_END, cluster, tmp_path).splitlines()
    assert late == "late"
    _wait_for_the_end_of(int(pid))


def test_nothing_is_left_of_a_program_that_was_killed(cluster, tmp_path):
    program = AT_THE_END.replace("event.set()", "os.kill(os.getpid(), 9)").replace(
        "timeout=60))", "timeout=60), flush=True)"
    )
    killed = _run(program, cluster, tmp_path)
    assert killed.returncode == -signal.SIGKILL
    _wait_for_the_end_of(int(killed.stdout))


def _wait_for_the_end_of(pid):
    until = time.monotonic() + suite.LIMIT_S
    while (state := state_of(pid)) and state[0] != "Z":
        assert time.monotonic() < until, "a process on a node goes on"
        time.sleep(0.05)


@pytest.mark.timeout(300)  # of three programs, and the fifteen processes that these start
def test_documented_programs_run_on_a_cluster(cluster):
    """All at once, after `set_start_method`: they make what they share by the names of the package."""
    running = []
    for name in ("locks", "queue_and_pipe", "own_managers", "listeners"):
        program = next(program for program in programs.PROGRAMS if program.stem == name)
        lines, open_order = programs.expected_output(program)
        environment = {**programs.environment(open_order), cluster.variable: cluster.address}
        command = [sys.executable, "-m", "procession", str(program), cluster.engine]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append((lines, subprocess.Popen(command, env=environment, **pipes)))
    for lines, program in running:
        printed, complaints = program.communicate(timeout=240)
        assert sorted(printed.splitlines()) == sorted(lines) and program.returncode == 0, complaints


def test_the_programs_of_the_page_run(cluster, tmp_path):
    page = (ROOT / "docs/clusters.md").read_text().replace('"dask"', f'"{cluster.engine}"')
    programs = re.findall("```python\n(.*?)```", page, re.DOTALL)
    printed = ["999000\n", "[1, 4, 9, 16] by 2 nodes\n10 [0, 0]\n"]
    assert [_what_prints(program, cluster, tmp_path) for program in programs] == printed


def test_the_example_runs(cluster, tmp_path):
    program = (ROOT / "examples/cluster.py").read_text()
    *lines, last = _what_prints(
        program, cluster, tmp_path, "--limit", "20000", "--folder", ROOT / "examples"
    ).splitlines()
    assert sorted(lines) == [f"Process {number}: {number}" for number in range(1, 5)]
    assert last.startswith("2,262 primes below 20,000, ")


def test_a_call_takes_what_it_is_given_as_it_is_then(context):
    changed, (ours, theirs) = [1], context.Pipe()
    with context.Pool(1) as pool:
        calls = [
            pool.apply_async(tasks.as_it_came, (changed,)),
            pool.apply_async(tasks.as_it_came, (), {"value": changed}),
            pool.apply_async(functools.partial(tasks.as_it_came, changed)),
        ]
        changed.append(2)
        talks = pool.apply_async(objects.talk, (theirs,))
        theirs.close()
        assert [call.get(suite.LIMIT_S) for call in calls] == [[1]] * 3
        assert ours.recv() == [1, [2]] and ours.recv_bytes() == b"bytes"
        ours.send(objects.Point(4))
        assert talks.get(suite.LIMIT_S) == 4
        failed: list = []
        bad = pool.apply_async(tasks.as_it_came, (threading.Lock(),), error_callback=failed.append)
        with pytest.raises((TypeError, AttributeError), match="thread"):
            bad.get(suite.LIMIT_S)
        assert [type(error) for error in failed] == [type(bad._core._error)]


def test_an_executor_runs_on_a_cluster(context):
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        assert list(executor.map(suite.double, range(20), chunksize=3)) == [2 * n for n in range(20)]
        futures = [executor.submit(suite.fail_at_three, n) for n in range(5)]
        assert [future.exception() is None for future in futures] == [True, True, True, False, True]


def test_options_of_a_method_do_what_they_do_here_or_are_refused(context, tmp_path):
    seen: list = []
    with context.Pool() as pool:
        outcomes = pool.map(suite.fail_at_three, range(5), on_error="return", progress=seen.append)
        assert [type(outcome) is procession.TaskFailed for outcome in outcomes] == [n == 3 for n in range(5)]
        assert seen[-1].done == seen[-1].total == 5
        begun = pool.map(tasks.where, range(3), 1, resume=tmp_path / "journal")
        assert pool.map(tasks.where, range(6), 1, resume=tmp_path / "journal")[:3] == begun
        with pytest.raises(NotImplementedError, match="use a pool of processes"):
            pool.share(bytearray(5), writable=True)
        with pytest.raises(ValueError, match="this pool has no resources"):
            pool.map(abs, [1], resources={"card": 1})


@pytest.mark.parametrize("method", ["starmap", "imap_unordered"])
def test_who_looks_sees_how_far_tasks_on_nodes_are(method, context):
    event, seen = context.Event(), []

    def look(progress):
        seen.append(progress)
        if {(task.index, task.done, task.total, task.text) for task in progress.tasks} == running:
            event.set()  # none of them ends before

    running = {(n, n, 4.0, f"part {n}") for n in range(2)}
    with context.Pool(2) as pool:
        if method == "starmap":
            assert pool.starmap(tasks.say_and_wait, [(n, event) for n in range(2)], 1, progress=look) == [True] * 2
        else:
            function = functools.partial(tasks.say_and_wait, event=event)
            assert list(pool.imap_unordered(function, range(2), progress=look)) == [True] * 2
        assert {task.worker for progress in seen for task in progress.tasks} == {0, 1}
        pool.map(tasks.drawn_at_second, range(4), 1, retries=1, retry_on=OSError, progress=seen.append)
    assert (seen[-1].done, seen[-1].retried, seen[-1].ended, seen[-1].tasks) == (4, 4, True, ())


def test_kinds_of_calls_of_which_there_are_none_are_forgotten(context):
    with context.Pool(1) as pool:
        for priority in range(9):
            assert pool.apply(abs, (-1,), priority=priority) == 1
        assert len(pool._core._driver._calls) <= 2


def test_tasks_know_their_places_and_draw_what_they_do_on_one_machine(context, tmp_path):
    found = []
    for make in (functools.partial(procession.Pool, crew="serial"), context.Pool):
        with make(2, seed=7) as pool:
            lazy = [read(tasks.drawn, range(9), 4) for read in (pool.imap, pool.imap_unordered)]
            found.append([pool.map(tasks.drawn, range(9), 2), *map(sorted, lazy)])
            found[-1] += [pool.starmap(tasks.drawn, [(1, 2)] * 4)]
            found[-1] += [pool.apply(tasks.drawn), pool.apply_async(tasks.drawn, (1,)).get(suite.LIMIT_S)]
            found[-1] += [pool.map(tasks.drawn_by_all, range(4), seed=[1, 2], seed_globals=True)]
            found[-1] += [pool.map(tasks.drawn_at_second, range(4), 1, retries=1, retry_on=OSError)]
            journal = tmp_path / make.__class__.__name__
            found[-1] += [pool.map(tasks.drawn, range(size), resume=journal, seed=2) for size in (3, 6)]
            if make == context.Pool:
                assert set(pool.map(tasks.worker, range(20), 1)) == {(0, 0), (1, 1)}
                assert [worker.place for worker in pool.stats().workers] == [0, 1]
    assert found[0] == found[1] and found[0][0][3][:3] == (3, "drawn", 0)


def test_a_pool_grows_and_shrinks_over_the_nodes(context):
    def await_workers(count):
        until = time.monotonic() + suite.LIMIT_S
        while len(numbers := {one.place for one in pool.stats().workers if one.state != "leaving"}) != count:
            assert time.monotonic() < until, f"it has other workers: {pool.stats()}"
            time.sleep(0.05)
        return numbers

    with context.Pool(1, env=lambda number: {"NUMBER": str(number)}) as pool:
        whole = pool.map_async(tasks.slow_square, range(100), 1)
        pool.resize(3)
        assert await_workers(3) == {0, 1, 2}
        found = set(pool.map(tasks.worker_and_variable, range(60), 1))
        assert found <= {(n, str(n)) for n in range(3)} and len(found) > 1
        pool.resize(1)
        await_workers(1)
        assert whole.get(suite.LIMIT_S) == [n * n for n in range(100)] and pool.map(abs, [-1]) == [1]
        assert len(pool._pool) == pool._processes == 1
        pool.resize(2)
        await_workers(2)
        assert pool.map(suite.double, range(9), 1) == [2 * n for n in range(9)] and len(pool._pool) == 2


def test_the_longest_and_the_most_urgent_go_first(context):
    event = context.Event()
    with context.Pool(1) as pool:
        assert pool.map(tasks.nth, [3, 1, 2, 5, 4], order="longest", cost=int) == [2, 4, 3, 0, 1]
        assert pool.map(tasks.nth, range(7), 3, order="longest", cost=int) == [9, 10, 11, 5, 6, 7, 8]
        blocks = pool.apply_async(objects.await_event, (event,))
        while not pool.stats().running:
            time.sleep(0.01)
        usual = pool.map_async(tasks.nth, range(20), 1)
        urgent = pool.apply_async(tasks.nth, (0,), priority=5)
        assert pool.stats().done == 12  # the node knows of all by now
        event.set()
        # Of the others a worker may give some back, which then run after those behind them.
        assert urgent.get(suite.LIMIT_S) == 12 and {*usual.get(suite.LIMIT_S)} == {*range(13, 33)} and blocks.get()


def test_objects_are_those_of_all_nodes(cluster, context):
    """They go there as arguments of an initializer and of tasks, and were made before or after the pool."""
    early, barrier = context.Queue(), context.Barrier(3)
    with context.Pool(2, objects.keep, (early, barrier)) as pool:
        lock, value, array = context.Lock(), context.Value("i", 5), context.Array("d", [0.5, 1.5, 2.5])
        event, condition, joinable = context.Event(), context.Condition(lock), context.JoinableQueue()
        semaphore, simple = context.BoundedSemaphore(2), context.SimpleQueue()
        meeting = pool.map_async(objects.meet, range(2), 1)
        barrier.wait(suite.LIMIT_S)
        assert len({early.get(timeout=suite.LIMIT_S), early.get(timeout=suite.LIMIT_S)}) == 2 == len(meeting.get())

        pool.starmap(objects.count, [(lock, value, array)] * 20, 1)
        assert value.value == 25 and array[:] == [20.5, 21.5, 2.5] == list(array) and len(array) == 3
        waiting = pool.apply_async(objects.wait_for, (condition, event, value, 99))
        assert event.wait(suite.LIMIT_S)
        with condition:
            value.value = 99
            condition.notify()
        assert waiting.get(suite.LIMIT_S) is True

        pool.apply(objects.put_all, ([joinable, simple], [[1, [2]], (1, [2]), objects.Point(3), 2**70, b"x" * 100_000]))
        got = [simple.get() for _ in range(5)]
        assert got[:2] == [[1, [2]], (1, [2])] and type(got[2]) is objects.Point and got[3:] == [2**70, b"x" * 100_000]
        assert [joinable.get(timeout=suite.LIMIT_S) is not None for _ in range(5)] == [True] * 5 and simple.empty()
        assert pool.apply(objects.done, (joinable, 5)) == 0
        joinable.join()
        assert pool.apply(objects.take, (semaphore,)) == 0 == semaphore.get_value()  # it lives, and has both
        assert not semaphore.acquire(timeout=0.01)

        key = keys.own().value
        assert repr(keys.own()) == "<a key>" and early._token.address[0] in cluster.address
        with socket.socket(fileno=os.dup(early._links._local.link.connection.fileno())) as end:
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        told = [path.read_bytes() for path in cluster.folder.glob("*.log")]
        for pid in pool.map(tasks.where, range(20), 1):
            told += [Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "environ")]
        assert not any(key in text or key.hex().encode() in text for text in told)

        with context.Manager() as manager:
            found, rows = manager.dict(), manager.list([1])
            pool.starmap(objects.note, [(found, rows, objects.Point(n)) for n in range(3)])
            assert sorted(found.keys()) == sorted(rows[1:]) == [0, 1, 2] and type(found[0]) is objects.Point


def test_what_is_wrong_with_objects_is_said_as_of_a_process(context):
    queues = (context.Queue(1), context.JoinableQueue(1))
    for made, raised, call in (
        (queues[0], queue.Empty, lambda made: made.get(timeout=0.01)),
        (queues[0], queue.Empty, lambda made: made.get_nowait()),
        (queues[1], queue.Full, lambda made: [made.put_nowait(n) for n in range(2)]),
        (queues[1], ValueError, lambda made: [made.task_done() for _ in range(2)]),
        (queues[1], TypeError, lambda made: made.put(threading.Lock())),
        (context.Lock(), ValueError, lambda made: made.release()),
        (context.RLock(), AssertionError, lambda made: made.release()),
        (context.BoundedSemaphore(1), ValueError, lambda made: made.release()),
        (context.Condition(), AssertionError, lambda made: made.notify()),
        (context, TypeError, lambda made: made.Condition(threading.Lock())),
        (context, TypeError, lambda made: made.Value(ctypes.c_char_p)),
        (context, TypeError, lambda made: made.Array("i", ["x"])),
        (context, ValueError, lambda made: made.Barrier(0)),
        (context.Value("i", 1), NotImplementedError, lambda made: made.get_obj()),
        (context.Array("i", 2), IndexError, lambda made: made[2]),
        (context.Barrier(2), threading.BrokenBarrierError, lambda made: made.wait(0.01)),
    ):
        with pytest.raises(raised):
            call(made)
    queues[0].close()
    with pytest.raises(ValueError, match="is closed"):
        queues[0].put(1)


def test_a_wait_for_an_object_heeds_ctrl_c_and_loses_nothing(context):
    pending = context.Queue()
    for call in (pending.get, context.Lock().acquire, context.Event().wait):
        main = threading.get_ident()
        if call.__name__ == "acquire":
            assert call()
        with pytest.raises(KeyboardInterrupt):
            threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGINT)).start()
            call()
    pending.put("here")
    assert pending.get(timeout=suite.LIMIT_S) == "here"


def test_no_item_waits_behind_those_of_other_jobs_while_a_node_has_none_of_them(context):
    with context.Pool(2) as pool:
        event = context.Event()
        for hand_in in (pool.apply_async, lambda function, items: pool.map_async(function, items, 1)):
            long = hand_in(objects.await_event, (event,))
            assert pool.map_async(abs, range(-6, 0), 1).get(suite.LIMIT_S / 2) == [6, 5, 4, 3, 2, 1]
            assert not long.ready()
            event.set()
            assert long.get(suite.LIMIT_S) in (True, [True])
            event.clear()


def test_a_lock_goes_on_from_a_worker_that_was_killed(context):
    lock, robust, permits = context.Lock(), context.RLock(robust=True), context.Semaphore(1)
    with context.Pool() as pool:
        for taken in (lock, robust, permits):
            with pytest.raises(procession.WorkerDied):
                pool.apply(objects.take_and_die, (taken,))
        with pytest.warns(OwnerDied):
            assert lock.acquire(timeout=suite.LIMIT_S)
        with pytest.raises(OwnerDied):
            robust.acquire(timeout=suite.LIMIT_S)
        assert permits.acquire(timeout=suite.LIMIT_S)


def test_a_pipe_has_two_ends_wherever_they_are(context):
    ours, theirs = context.Pipe()
    with context.Pool() as pool:
        answer = pool.apply_async(objects.talk, (theirs,))
        assert ours.recv() == [1, [2]] and ours.recv_bytes() == b"bytes"
        theirs.close()
        ours.send(objects.Point(4))
        assert answer.get(suite.LIMIT_S) == 4
        (quiet, silent), (here, there) = context.Pipe(), procession.Pipe()
        assert wait([quiet, here], 0) == []
        there.send(1)
        assert wait([quiet, here], suite.LIMIT_S) == [here]
        assert wait([quiet, here, ours], suite.LIMIT_S)[0] is here
        assert wait([quiet, ours], suite.LIMIT_S) == [ours]
        silent.close()
        with pytest.raises(EOFError):
            ours.recv()
        with pytest.raises(BrokenPipeError):
            ours.send(1)
        reader, writer = context.Pipe(duplex=False)
        with pytest.raises(procession.WorkerDied):
            pool.apply(objects.take_and_die, (writer,))
        writer.close()
        with pytest.raises(EOFError):  # who had the other end was killed
            reader.recv()
    for call in (ours.fileno, lambda: reader.send(1), lambda: writer.send(1)):
        with pytest.raises((NotImplementedError, OSError)):
            call()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_only_one_machine_has_is_refused(engine):
    context = procession.get_context(engine)
    for name in ("RawArray", "RawValue"):
        with pytest.raises(NotImplementedError, match=f"a cluster has no {name}: "):
            getattr(context, name)()
    assert engine not in procession.get_all_start_methods() and context.get_start_method() == engine


def test_an_engine_that_is_not_installed_is_named(monkeypatch):
    for engine, package in (("dask", "distributed"), ("mpi", "mpi4py"), ("ray", "ray")):
        for name in [name for name in sys.modules if name.startswith(f"procession._cluster.{engine}")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=rf'{package}.*pip install "procession\[{engine}\]"'):
            procession.get_context(engine)


def test_a_wait_for_events_that_is_over_as_it_begins_ends():
    """`queue.SimpleQueue` waits for ever where two were there before, and its lock is open."""

    def wait():
        for _ in range(20_000):
            told = events.Events()
            told.put(1)
            told.put(2)
            assert (told.get(), told.get(timeout=0), told.qsize(), told.empty()) == (1, 2, 0, True)
            with pytest.raises(queue.Empty):
                told.get(timeout=1e-6)

    waits = threading.Thread(target=wait, daemon=True)
    waits.start()
    waits.join(suite.LIMIT_S)
    assert not waits.is_alive()


def test_workers_are_shared_out_by_cpus():
    places = [Place("a", 4), Place("b", 1), Place("c", 2)]
    assert [(place.key, count) for place, count in staff.shares(places, 7)] == [("a", 4), ("b", 1), ("c", 2)]
    assert [count for _, count in staff.shares(places, 14)] == [8, 2, 4]
    assert [place.key for place, _ in staff.shares(places, 1)] == ["a"]
    assert len(staff.shares([Place(n, 1) for n in range(5)], 3)) == 3


def test_an_agent_whose_pool_has_ended_says_so(monkeypatch):
    """A program that stood still for long would wait for outcomes for ever."""
    monkeypatch.setattr(mailbox, "SILENT_S", 0.1)
    terms = {
        "count": 1,
        "options": {},
        "settings": [{}],
        "initializer": None,
        "program": agent.here(),
        "key": keys.own(),
        "places": [0],
    }
    ended = agent.Agent(terms)
    ended.await_end(suite.LIMIT_S)
    with pytest.raises(RuntimeError, match="has ended"):
        ended.collect(0)


class TwoPlaces(Engine):
    """An engine that starts an agent at once, and another one when it is let."""

    def __init__(self):
        self.lets, self.dropped = threading.Event(), []

    def places(self):
        return [Place("a", 1), Place("b", 1)]

    def start(self, place, terms):
        assert place.key == "a" or self.lets.wait(suite.LIMIT_S)
        return [place.key]

    def drop(self, handle):
        self.dropped += handle


@pytest.mark.parametrize("is_in_time", [True, False])
def test_agents_that_nobody_has_heard_of_end_with_the_others(is_in_time, monkeypatch):
    engine, told = TwoPlaces(), []
    agents = staff.Staff(engine, 2, lambda places: None)
    if is_in_time:
        engine.lets.set()
        agents.begin(told.append)
        agents.end(suite.LIMIT_S)
    else:
        monkeypatch.setattr(staff, "START_S", 0.01)
        with pytest.raises(TimeoutError, match="1 nodes did not start"):
            agents.begin(told.append)
        starting = [thread for thread in threading.enumerate() if thread.name == "ClusterStart"]
        engine.lets.set()
        for thread in starting:
            thread.join(suite.LIMIT_S)
    assert sorted(engine.dropped) == ["a", "b"] and len(told) == 2 * is_in_time


def test_what_was_lost_often_travels_alone_and_then_not_at_all():
    work = flights.Work(1, type("Job", (), {"items": range(10)}), None)
    node = flights.Node("a", 2, None, 0.0)
    parcel = work.next_parcel(node, 1, False)
    assert list(parcel.places) == [0, 1] == parcel.items
    assert list(parcel.take(0, 1)) == [0] and parcel.left == 1
    (again,), given_up = parcel.rest()
    assert again.places == [1] and not given_up
    (alone,), given_up = again.rest()
    assert alone.places == [1] and alone.losses == 2 and not given_up
    assert alone.rest() == ([], [1])
    several = flights.Parcel(work, range(4), [0, 1, 2, 3], losses=1)
    assert [one.places for one in several.rest()[0]] == [[0], [1], [2], [3]]


def test_parcels_grow_with_what_a_node_does_in_a_moment():
    work = flights.Work(1, type("Job", (), {"items": range(100_000)}), None)
    node, sizes = flights.Node("a", 2, None, 0.0), []
    for _ in range(4):
        parcel = work.next_parcel(node, 1, False)
        sizes.append(len(parcel.items))
        work.pace.learn(len(parcel.items), 1e-5 * len(parcel.items), node.workers)
    assert sizes == [32, 512, 8192, 10_000]
    for number in itertools.count(1):
        parcel = work.next_parcel(node, 1, True)
        if parcel is None:
            break
        node.flights[number] = parcel
    assert number == 3, "a node has more than it can do, or less"


def sizes_for(nodes, works, seconds=None):
    """How many items each parcel has if all nodes of one worker do theirs at once, from the first on, of each map."""
    pace, found = None, []
    for count in works:
        work = flights.Work(1, type("Job", (), {"items": range(count)}), None)
        work.pace = pace = flights.Pace(pace)
        sizes = []
        while (parcel := work.next_parcel(flights.Node("a", 1, None, 0.0), nodes, False)) is not None:
            sizes.append(len(parcel.items))
            if seconds is not None:
                pace.learn(len(parcel.items), seconds * len(parcel.items), 1)
        found.append(sizes)
    return found


def test_few_messages_carry_a_map_of_short_tasks_and_those_of_long_ones_are_even_at_the_end():
    assert sizes_for(2, [2000, 2000], 2**-17) == [[16, 256, 1728], [125, 1875]]
    assert sizes_for(2, [40], None) == [[1] * 40]
    (long,) = sizes_for(2, [64], 2**-7)
    assert sum(long) == 64 and long[-2:] == [2, 2] and max(long) <= 16


def test_what_takes_long_does_not_wait_at_one_node_while_another_has_room():
    work, nodes = flights.Work(1, type("Job", (), {"items": range(8)}), None), []
    work.pace.learn(1, 5.0, 1)
    for key in "ab":
        node = flights.Node(key, 2, None, 0.0)
        nodes.append(node)
        node.flights[0] = work.next_parcel(node, 2, False)
        assert node.outstanding(work) == 2 and node.load() == 1
    assert [work.next_parcel(node, 2, ahead) for node in nodes for ahead in (False, True)] == [None] * 4
    nodes[0].flights[0].take(0, 1)
    assert list(work.next_parcel(nodes[0], 2, False).places) == [4]


def test_a_scheduler_that_is_gone_ends_the_pools(cluster, context):
    """The last one: nothing is left of the cluster."""
    pool = context.Pool()
    result = pool.map_async(tasks.sleep_long, [600] * 4, 1)
    cluster.leave()
    with pytest.raises(procession.NodeLost, match="no node of the pool is left"):
        result.get(suite.LIMIT_S)
    pool.terminate()
    pool.join()
