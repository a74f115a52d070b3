"""The kit for users' own tests: it finds what a test leaves, and has workers die, wait and lack memory."""

import gc
import os
import sys
from pathlib import Path

import procession
import pytest
from procession import testing
from procession._testing import told
from procession.futures import ProcessPoolExecutor
from tasks.weights import limit_beyond

pytest_plugins = ["pytester"]

LIMIT_S = 60
PATIENT = ("-o", f"procession_seconds={LIMIT_S}")  # for what is about to end, on whatever machine

# What each leaves, and what the message is to say of it. Everything is kept, as nothing would be left otherwise.
LEAKS = """
import os, socket, subprocess, sys, threading
import procession
import pytest
from procession.shared_memory import SharedMemory

kept = []
over = threading.Event()


@pytest.fixture(scope="module", autouse=True)
def end():
    yield
    over.set()
    kept[0].kill(), kept[0].wait(), kept[1].wait()
    kept[5].unlink(), kept[6].join(), kept[7].terminate(), kept[7].join()


def test_process():
    kept.append(subprocess.Popen(["sleep", "60"]))


def test_zombie():
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    kept.append(child)


def test_descriptor():
    kept.append(open(__file__))


def test_socket():
    kept.append(socket.socket())


def test_memory():
    kept.append(os.memfd_create("planted"))


def test_shared_memory():
    kept.append(SharedMemory(create=True, size=100))
    kept[-1].close()


def test_thread():
    kept.append(threading.Thread(target=over.wait, name="planted"))
    kept[-1].start()


def test_pool():
    kept.append(procession.get_context("fork").Pool(1))
    kept[-1].apply(abs, (-1,))


def test_clean():
    with procession.get_context("fork").Pool(1) as pool, open(__file__), socket.socket():
        assert pool.apply(abs, (-1,)) == 1
        thread = threading.Thread(target=abs, args=(-1,))
        thread.start()
    thread.join()
    subprocess.run(["true"])
    memory = SharedMemory(create=True, size=100)
    memory.close()
    memory.unlink()
"""
SAID = {
    "process": ["process * of <Popen: *, which * after * s of CPU time: sleep 60, made at *test_leaks.py:*"],
    "zombie": ["zombie * of <Popen: *: it has ended, and nobody has waited for it, made at *test_leaks.py:*"],
    "descriptor": ["descriptor * to *test_leaks.py of <*TextIOWrapper*, made at *test_leaks.py:*"],
    "socket": ["socket, descriptor * to socket:* of <socket.socket fd=*, made at *test_leaks.py:*"],
    "memory": ["shared memory, descriptor * to /memfd:planted*"],
    "shared_memory": ["the name /dev/shm/psm_*, made at *test_leaks.py:*"],
    "thread": ["thread 'planted' of Event.wait*made at *test_leaks.py:*"],
    "pool": ["the pool <*, which is open: *", "process * of <ForkProcess*, made at *test_leaks.py:*"],
}


def planted(pytester, *options):
    """Run the tests with leaks, each of which is to leave nothing."""
    head, _, clean = LEAKS.partition("def test_clean")
    (pytester.path / "test_leaks.py").write_text(head)
    (pytester.path / "test_clean.py").write_text(head.partition("kept = []")[0] + "def test_clean" + clean)
    pytest_here = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
    return pytester.run(sys.executable, *pytest_here, timeout=300)


@pytest.mark.timeout(330)
def test_each_of_eight_planted_leaks_is_found_and_told_of(pytester):
    done = planted(
        pytester,
        "-o",
        "procession_strict=true",
        "-o",
        "procession_seconds=0.05",
        "-o",
        "procession_trace=true",
        "test_leaks.py",
    )
    done.assert_outcomes(passed=8, errors=8)
    sections = done.stdout.str().split("ERROR at teardown of test_")[1:]
    found = dict(section.split(" ", 1) for section in sections)
    assert found.keys() == SAID.keys()
    for name, lines in SAID.items():
        told = pytest.LineMatcher(found[name].splitlines())
        for line in lines:
            told.fnmatch_lines_random([f"*{line}*"])


def test_a_file_is_told_of_as_what_was_opened_whatever_part_of_it_is_found_first(monkeypatch):
    with open(__file__) as file:
        parts = [file.buffer.raw, file.buffer, file]
        for found in (parts, parts[::-1]):
            monkeypatch.setattr(gc, "get_objects", lambda found=found: list(found))
            assert told._objects()["file"] == {file.fileno(): file}


@pytest.mark.timeout(330)
def test_what_leaves_nothing_passes_and_without_the_setting_nothing_is_looked_at(pytester):
    planted(pytester, "-o", "procession_strict=true", *PATIENT, "test_clean.py").assert_outcomes(passed=1)
    done = planted(pytester, "-W", "error", "--setup-show", "test_clean.py")
    done.assert_outcomes(passed=1)
    assert "nothing_left" not in done.stdout.str()


LOADED = """
import sys

def test_loaded():
    ours = {name for name in sys.modules if name.partition(".")[0] == "procession"}
    testing = {name for name in ours if "testing" in name}
    assert testing == {"procession._testing", "procession._testing.plugin"}
    assert len(ours - testing) <= 5
"""


def test_in_the_tests_of_others_the_plugin_loads_nothing_but_itself(pytester):
    pytester.makepyfile(LOADED)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


INSTALLED = {
    "METADATA": "Metadata-Version: 2.1\nName: procession\nVersion: 99\n",
    "RECORD": "procession/__init__.py,,\nprocession/testing.py,,\n",
    "entry_points.txt": "[pytest11]\nprocession = procession._testing.plugin\n",
}


def test_an_installed_plugin_gives_no_warning_where_the_package_is_loaded_first(pytester, monkeypatch):
    """A package with a plugin is one whose assertions pytest would write anew."""
    folder = pytester.mkdir("packages")
    (folder / "procession").symlink_to(Path(procession.__file__).parent)
    (folder / "procession-99.dist-info").mkdir()
    for name, text in INSTALLED.items():
        (folder / "procession-99.dist-info" / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    pytester.makepyfile(
        "def test_it(nothing_left): import multiprocessing; assert 'procession' in repr(multiprocessing)"
    )
    command = [sys.executable, "-m", "procession", "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"]
    pytester.run(*command).assert_outcomes(passed=1)


# -- faults ---------------------------------------------------------------------------------------------------------


def square(number):
    root = number
    return root * root


@pytest.mark.parametrize("function", [square, abs], ids=["python", "compiled"])
def test_a_worker_is_killed_at_each_point_and_a_further_try_helps(pool, function, tmp_path):
    for point in ("task start", "in task", "result"):
        with testing.kill_worker_at(point) as fault:
            with pytest.raises(procession.WorkerDied, match="SIGKILL"):
                pool.apply(function, (3,))
            assert pool.apply(function, (3,)) == function(3)  # it was one time
        with testing.kill_worker_at(point, when=lambda number: number == 7) as second:
            assert pool.map(function, range(9), retries=1) == list(map(function, range(9)))
        assert len(fault.met) == len(second.met) == 1 and fault.met != second.met
        assert os.getpid() not in fault.met + second.met
    assert pool.map(function, range(9)) == list(map(function, range(9)))


def note(path):
    path.touch()
    path.with_suffix(".end").touch()


def test_the_points_are_where_they_are_said_to_be(pool, tmp_path):
    there = {}
    for point in ("task start", "in task", "result"):
        path = tmp_path / point.replace(" ", "_")
        with testing.kill_worker_at(point), pytest.raises(procession.WorkerDied):
            pool.apply(note, (path,))
        there[point] = path.exists(), path.with_suffix(".end").exists()
    assert there == {"task start": (False, False), "in task": (True, False), "result": (True, True)}


def test_a_slow_worker_has_begun_and_goes_on_when_it_is_let(pool):
    with testing.slow_worker(when=lambda number: number == 1) as slow:
        results = pool.map_async(square, range(3))
        slow.await_met(timeout=LIMIT_S)
        assert not results.ready()
        slow.release()
        assert results.get(LIMIT_S) == [0, 1, 4]
        assert len(slow.met) == 1
    with testing.slow_worker() as slow:
        late = pool.apply_async(square, (4,), timeout=0.2)
        with pytest.raises(procession.TaskTimeout):
            late.get(LIMIT_S)
        met = len(slow.met)  # none where the worker had no CPU for so long
        held = pool.apply_async(square, (5,))
        slow.await_met(met + 1, LIMIT_S)
        assert not held.ready()
    assert held.get(LIMIT_S) == 25  # the end of the block lets it go


def large(size):
    return len(bytearray(size))


def test_memory_is_full_for_one_task_or_up_to_the_limit_of_its_pool(context):
    with context.Pool(1, max_memory=limit_beyond(context, 300)) as pool:
        with testing.full_memory() as full:
            with pytest.raises(MemoryError):
                pool.apply(large, (64 << 20,))
            assert pool.apply(large, (64 << 20,)) == 64 << 20
        with testing.full_memory(400 << 20) as over, pytest.raises(procession.OverMemory):
            pool.apply(large, (1,))
        assert len(full.met) == len(over.met) == 1


def test_an_executor_meets_faults_and_what_has_no_processes_does_not():
    with testing.kill_worker_at("task start") as fault:
        with procession.get_context("fork").Pool(2, crew="serial") as pool:
            assert pool.apply(square, (3,)) == 9
        with ProcessPoolExecutor(1) as executor:
            with pytest.raises(procession.WorkerDied):
                executor.submit(square, 3).result()
            assert executor.submit(square, 3).result() == 9
        with pytest.raises(RuntimeError, match="already"):
            fault.__enter__()
    assert len(fault.met) == 1


def test_what_makes_no_sense_is_refused():
    for refused in (
        lambda: testing.kill_worker_at("lunch"),
        lambda: testing.kill_worker_at("result", times=0),
        lambda: testing.slow_worker(float("nan")),
        lambda: testing.full_memory(-1),
        lambda: testing.nothing_left(None),
    ):
        with pytest.raises(ValueError):
            refused()
    with pytest.raises(TypeError, match="when"):
        testing.slow_worker(when=3)
    with pytest.raises(RuntimeError, match="block"):
        testing.slow_worker()(square)
    with testing.slow_worker() as slow, pytest.raises(TimeoutError, match="0 times"):
        slow.await_met(timeout=0)


FIXTURES = """
import procession
import pytest
from test_work import square

pytestmark = pytest.mark.usefixtures("nothing_left")

def test_killed(kill_worker_at):
    fault = kill_worker_at("in task", times=2)
    with procession.Pool(2) as pool, pytest.raises(procession.WorkerDied):
        pool.apply(square, (2,), retries=1)
    assert len(fault.met) == 2

def test_held(slow_worker, full_memory):
    slow = slow_worker()
    with procession.Pool(2) as pool:
        result = pool.apply_async(square, (2,))
        slow.await_met(timeout=60)
        slow.release()
        assert result.get() == 4

def test_over():
    assert "Pool.apply " in repr(procession.pool.Pool.apply)
    assert not hasattr(procession.pool.Pool.apply, "__wrapped__")
"""


def test_the_fixtures_end_with_their_tests(pytester):
    pytester.makepyfile(test_work="def square(number):\n    root = number\n    return root * root\n", test_it=FIXTURES)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", *PATIENT).assert_outcomes(passed=3)
