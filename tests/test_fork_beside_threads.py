"""What is said when a process is forked beside threads, of Python and C libraries, and when a worker hangs by it."""

import subprocess
import sys
import textwrap

import pytest

LIMIT_S = 60

HEAD = """
import ctypes, sys, threading, time, warnings
import procession
import procession._pool.stuck

# Long beside what a worker waits for a CPU on a machine that has much to do.
procession._pool.stuck.LIMIT_S = 4
procession._pool.stuck.STACKS_S = 30
warnings.simplefilter("default", procession.ProcessionWarning)
libc = ctypes.CDLL(None)

def start_c_thread(name=None):
    "Start a thread that Python knows nothing of, which waits for ever."
    thread = ctypes.c_ulong()
    assert not libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None)
    if name:
        assert not libc.pthread_setname_np(thread, name)

def work(x):
    return x

lock = threading.Lock()

def locked(x):
    with lock:
        return x

def nothing():
    pass
"""

POOL = """
with procession.get_context("fork").Pool(2) as pool:
    pool.map(work, range(4))
"""


def run(tmp_path, program):
    (tmp_path / "program.py").write_text(
        HEAD + '\nif __name__ == "__main__":\n' + textwrap.indent(textwrap.dedent(program), "    ")
    )
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0 and "Error" not in done.stderr, done.stderr
    return done.stderr


PROCESS = 'p = procession.get_context("fork").Process(target=nothing); p.start(); p.join()'


@pytest.mark.parametrize("use", [POOL, PROCESS], ids=["pool", "process"])
@pytest.mark.parametrize(
    ("start", "named"),
    [
        ("start_c_thread()", "(1 of C libraries)"),
        ("start_c_thread(b'engine-0'); start_c_thread(b'engine-1')", "(engine-0, engine-1)"),
        ("t = threading.Thread(target=time.sleep, args=(60,), name='ticker', daemon=True); t.start()", "(ticker)"),
    ],
    ids=["without a name", "with names", "Python's"],
)
def test_a_fork_beside_threads_names_them_once_a_pool(tmp_path, use, start, named):
    told = run(tmp_path, f"{start}\n{use}")
    assert told.count("ForkBesideThreads: a process is forked while other threads run") == 1 and named in told, told


def test_a_pool_that_forks_later_workers_tells_no_second_time(tmp_path):
    told = run(tmp_path, f"start_c_thread()\n{POOL.replace('Pool(2)', 'Pool(2, maxtasksperchild=1)')}")
    assert told.count("ForkBesideThreads: ") == 1, told


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_nothing_is_said_where_nothing_is_forked_beside_them(tmp_path, method):
    assert run(tmp_path, f"start_c_thread()\n{POOL.replace('fork', method)}") == ""


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import numpy; numpy.ones((300, 300)) @ numpy.ones((300, 300))",
        "pool = procession.Pool(1); pool.apply_async(work, (1,)).get(); pool.terminate()",
        "pool = procession.Pool(1, capture_output=print); pool.apply_async(work, (1,)).get(); pool.terminate()",
        "from procession import resource_sharer; kept = resource_sharer.DupFd(0)",
        "pool = procession.Pool(1, capture_output=print); pool.map_async(work, range(9)).wait()",
    ],
    ids=[
        "no thread",
        "OpenBLAS",
        "a pool's thread",
        "threads for output",
        "descriptors on their way",
        "a pool's threads",
    ],
)
def test_threads_that_do_no_harm_are_not_news(tmp_path, before):
    assert run(tmp_path, f"{before}\n{POOL}") == ""


NESTED = """
def start(method, function):
    p = procession.get_context(method).Process(target=function); p.start(); p.join()
    assert p.exitcode == 0

def alone():
{forks}

def beside():
    start_c_thread(); start("fork", nothing)

def renamed():
    libc.prctl(15, b"renamed"); alone()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_what_ends_a_child_after_its_parent_is_no_news_when_the_child_forks(tmp_path, method):
    head = NESTED.replace("{forks}", textwrap.indent(f"{PROCESS}{POOL}", "    "))
    for function, times in [("alone", 0), ("renamed", 0), ("beside", 1)]:
        (tmp_path / "nested.py").write_text(HEAD + head)
        told = run(tmp_path, f"from nested import *\nstart({method!r}, {function})")
        assert (told.count("ForkBesideThreads: "), told.count("(1 of C libraries)")) == (times, times), told


HANGS = """
held, end = threading.Event(), threading.Event()

def hold():
    with lock:
        held.set()
        end.wait()

holder = threading.Thread(target=hold, name="holder")
holder.start()
held.wait()
with procession.get_context("fork").Pool(2) as pool:
    result = pool.map_async(locked, range(4))
    while not told:
        time.sleep(0.01)
end.set()
holder.join()
(text, category) = told[0]
print(text, category.__name__, file=sys.stderr)
"""

LISTEN = """
told = []

def show(message, category, filename, lineno, file=None, line=None):
    if category is procession.StuckAfterFork:
        told.append((str(message), category))

warnings.showwarning = show
"""


def test_a_worker_that_waits_for_a_lock_of_the_parents_thread_is_told_of_with_its_stacks(tmp_path):
    told = run(tmp_path, LISTEN + HANGS)
    assert "a worker has computed nothing" in told and "(holder)" in told and told.count("StuckAfterFork") == 1, told
    assert " in locked\n" in told and "runs item" in told, told


def test_a_pool_whose_first_task_ends_is_left_alone_and_its_watch_ends(tmp_path):
    program = """
    t = threading.Thread(target=time.sleep, args=(60,), name="ticker", daemon=True)
    t.start()
    with procession.get_context("fork").Pool(2) as pool:
        pool.map(work, range(4))
        watch = pool._crew._stuck._thread
        watch.join(60)
        assert not watch.is_alive()
        pool.map(work, range(4))
        assert not [thread for thread in threading.enumerate() if thread.name == watch.name]
    """
    told = run(tmp_path, program)
    assert "StuckAfterFork" not in told and told.count("ForkBesideThreads") == 1, told


def test_the_watch_of_a_pool_ends_with_it(tmp_path):
    program = """
    t = threading.Thread(target=time.sleep, args=(60,), name="ticker", daemon=True)
    t.start()
    procession._pool.stuck.LIMIT_S = 1000
    with procession.get_context("fork").Pool(2) as pool:
        watch = pool._crew._stuck._thread
    watch.join(60)
    assert not watch.is_alive()
    """
    assert run(tmp_path, program).count("ForkBesideThreads: ") == 1


def test_a_program_run_as_a_module_may_fork_beside_threads(tmp_path):
    (tmp_path / "program.py").write_text(
        "import threading, procession\n"
        "if __name__ == '__main__':\n"
        "    go = threading.Event()\n"
        "    threading.Thread(target=go.wait).start()\n"
        "    with procession.get_context('fork').Pool(1) as pool:\n"
        "        print(pool.apply(abs, (-1,)))\n"
        "    go.set()\n"
    )
    command = [sys.executable, "-m", "program"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr
    assert "forked while other threads run" in ended.stderr


def test_threads_that_have_been_joined_are_nobodys(tmp_path):
    program = """
    for _ in range(50):
        thread = threading.Thread(target=nothing)
        thread.start()
        thread.join()
        p = procession.get_context("fork").Process(target=nothing)
        p.start()
        p.join()
    """
    assert run(tmp_path, program) == ""
