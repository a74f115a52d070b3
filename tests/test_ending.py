"""How a child ends: its exit status and what runs before, the same for every start method and Python version."""

import atexit
import concurrent.futures.process
import concurrent.futures.thread
import multiprocessing as standard
import os
import subprocess
import sys
import tempfile
import threading
import weakref

import procession
import pytest
from procession import process, util

LIMIT_S = 60

METHODS = procession.get_all_start_methods()


class Unspeakable:
    def __str__(self):
        raise ValueError("no text")


class Odd(SystemExit):
    @property
    def code(self):
        raise KeyError("no code")


class Own(BaseException):
    pass


class Number(int):
    def __int__(self):
        raise RuntimeError("no number")


STATUSES = [
    (None, 0), (True, 1), (False, 0), (0, 0), (3, 3), (255, 255), (256, 0), (257, 1), (-1, 255), (-256, 0),
    (2**31 - 1, 255), (-(2**31), 0), (2**31, 1), (-(2**31) - 1, 1), (2**32 + 3, 1), (2**64, 1), (-(2**64), 1),
    (3.0, 1), ("text", 1), ([], 1), (Number(5), 5), (Number(2**40), 1),
]  # fmt: skip


def statuses_of(context, calls):
    children = [context.Process(target=function, args=arguments) for function, *arguments in calls]
    for child in children:
        child.start()
    for child in children:
        child.join(LIMIT_S)
    return [child.exitcode for child in children]


def status_of(context, function, *arguments):
    return statuses_of(context, [(function, *arguments)])[0]


def test_an_exit_has_one_status_whatever_it_is_given(context):
    given = [(sys.exit, code) for code, _ in STATUSES]
    assert statuses_of(context, given) == [status for _, status in STATUSES]


def exit_unspeakably():
    sys.exit(Unspeakable())


def exit_oddly():
    raise Odd


def raise_own():
    raise Own


def interrupt():
    raise KeyboardInterrupt


def fail_without_stderr():
    sys.stderr = None
    raise ValueError


def fail_with_stderr_closed():
    sys.stderr.close()
    raise ValueError


class Refusing:
    def write(self, text):
        raise Own

    flush = write


def fail_with_stderr_that_raises():
    sys.stderr = Refusing()
    raise ValueError


def exit_with_stderr_that_raises():
    sys.stderr = Refusing()
    sys.exit("text")


def raise_in_an_atexit_function_of_threading():
    threading._register_atexit(sys.exit, 7)


def lose_output():
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    sys.stdout = open(1, "w", closefd=False)
    sys.stdout.write("lost")


def leave_output_that_cannot_be_flushed():
    sys.stdout = Unflushable()


class Unflushable:
    def flush(self):
        raise Own


FAILING = [
    exit_unspeakably, exit_oddly, raise_own, interrupt, fail_without_stderr, fail_with_stderr_closed,
    fail_with_stderr_that_raises, exit_with_stderr_that_raises, raise_in_an_atexit_function_of_threading, lose_output,
    leave_output_that_cannot_be_flushed,
]  # fmt: skip


def test_what_raises_at_an_end_gives_status_1_and_reaches_nobody(context):
    assert statuses_of(context, [(end,) for end in FAILING]) == [1] * len(FAILING)


def close_streams():
    sys.stdout.close()
    sys.stderr.close()


def have_no_streams():
    sys.stdout = sys.stderr = None


def exit_in_an_exit_function():
    atexit.register(sys.exit, 3)


def raise_in_a_finalizer():
    util.Finalize(None, sys.exit, args=(3,), exitpriority=10)


def exit_in_a_thread():
    threading.Thread(target=sys.exit, args=(3,)).start()


HARMLESS = [close_streams, have_no_streams, exit_in_an_exit_function, raise_in_a_finalizer, exit_in_a_thread]


def test_what_is_nothing_to_the_status_leaves_it_0(context):
    assert statuses_of(context, [(end,) for end in HARMLESS]) == [0] * len(HARMLESS)


HOOK = """
import os, sys
import procession
from procession import util


def hook(_):
    raise SystemExit(5)


class Thing:
    pass


if __name__ == "__main__":
    thing = Thing()
    util.register_after_fork(thing, hook)
    child = procession.get_context("fork").Process(target=print, args=("runs",))
    child.start()
    child.join()
    print("the parent alone:", child.exitcode)
"""


def threads_of_executors(_=None):
    return len(concurrent.futures.thread._threads_queues) + len(concurrent.futures.process._threads_wakeups)


def start_a_child_and_a_pool(context):
    child = context.Process(target=threads_of_executors)
    child.start()
    child.join()
    with context.Pool(2) as pool:
        known = pool.map(threads_of_executors, range(4))
        pool.close()
        pool.join()
    return child.exitcode, known


def test_children_that_a_thread_of_an_executor_starts_end_as_any(context, capfd):
    with (
        concurrent.futures.ThreadPoolExecutor(2) as threads,
        # The standard one, whose process starts with its first call.
        concurrent.futures.ProcessPoolExecutor(1, standard.get_context("spawn")) as processes,
    ):
        processes.submit(abs, -1).result(LIMIT_S)
        assert threads.submit(start_a_child_and_a_pool, context).result(LIMIT_S) == (0, [0] * 4)
    assert "Traceback" not in capfd.readouterr().err


def test_a_hook_that_exits_after_a_fork_ends_the_child_alone(tmp_path):
    assert printed(tmp_path, HOOK) == "the parent alone: 5\n"


MAIN_EXITS = """
import procession, sys

if __name__ == "__mp_main__":
    sys.exit(6)

if __name__ == "__main__":
    child = procession.get_context(sys.argv[1]).Process(target=print)
    child.start()
    child.join()
    print(child.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_main_module_that_exits_in_a_child_gives_the_childs_status(method, tmp_path):
    assert printed(tmp_path, MAIN_EXITS, method) == "6\n"


UNTIL_LAST = """
import os, signal, sys
import procession


def interrupted(frame, event, argument):
    # Ctrl-C at every place of the child's end, one run after the other.
    global left
    if event == "line" and frame.f_globals["__name__"] in ("procession._children.ending", "procession._children.child"):
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
    return interrupted


def trace(count):
    global left
    left = count
    sys.settrace(interrupted)
    frame = sys._getframe()
    while frame is not None:
        frame.f_trace = interrupted
        frame = frame.f_back


if __name__ == "__main__":
    context, statuses = procession.get_context("fork"), set()
    for count in range(1, 40):
        child = context.Process(target=trace, args=(count,))
        child.start()
        child.join()
        statuses.add(child.exitcode)
    print(sorted(statuses), os.getpid() == int(sys.argv[1]) or "the parent")
"""


def test_ctrl_c_anywhere_in_a_childs_end_ends_that_child(tmp_path):
    assert printed(tmp_path, UNTIL_LAST, "0") == "[0, 1] the parent\n"


# -- the order ------------------------------------------------------------------------------------------------------

ORDER = [
    "returns", "threading atexit", "thread", "second exit function", "weakref", "temporary directory", "exit function",
    "finalizer 10", "daemon ended", "finalizer -5",
]  # fmt: skip


class Thing:
    pass


def say(path, text):
    with open(path, "a") as file:
        file.write(text + "\n")


def end_in_order(path, context, started):
    util.Finalize(None, say, (path, "finalizer 10"), exitpriority=10)
    util.Finalize(None, say, (path, "finalizer -5"), exitpriority=-5)
    atexit.register(say, path, "exit function")
    kept.append(tempfile.TemporaryDirectory())
    kept.append(Thing())
    weakref.finalize(kept[0], say, path, "temporary directory").atexit = True
    weakref.finalize(kept[1], say, path, "weakref")
    atexit.register(say, path, "second exit function")
    ended = threading.Event()
    threading.Thread(target=lambda: (ended.wait(), say(path, "thread"))).start()
    threading._register_atexit(ended.set)  # runs after the next one
    threading._register_atexit(say, path, "threading atexit")
    daemon = context.Process(target=say_at_term, args=(path, started), daemon=True)
    daemon.start()
    started.acquire()
    say(path, "returns")
    say(path + ".directory", kept[0].name)


def say_at_term(path, started):
    import signal

    signal.signal(signal.SIGTERM, lambda *_: (say(path, "daemon ended"), os._exit(0)))
    started.release()
    while True:
        signal.pause()


kept: list = []


def run_in_order(context, tmp_path):
    path = str(tmp_path / "order")
    child = context.Process(target=end_in_order, args=(path, context, context.Semaphore(0)))
    child.start()
    child.join(LIMIT_S)
    assert child.exitcode == 0
    with open(path) as file, open(path + ".directory") as name:
        return file.read().splitlines(), os.path.exists(name.read().strip())


def test_an_end_has_one_order(context, tmp_path):
    assert run_in_order(context, tmp_path) == (ORDER, False)


def test_an_end_has_that_order_where_the_parent_had_its_own(context, tmp_path):
    thing = Thing()
    with tempfile.TemporaryDirectory() as directory:
        parents = [
            weakref.finalize(thing, say, tmp_path / "parents", "weakref"),
            util.Finalize(None, say, (tmp_path / "parents", "finalizer"), exitpriority=1),
        ]
        atexit.register(say, tmp_path / "parents", "exit function")
        try:
            assert run_in_order(context, tmp_path) == (ORDER, False)
            assert os.path.isdir(directory)
        finally:
            atexit.unregister(say)
            parents[0].detach()
            parents[1].cancel()
    assert not (tmp_path / "parents").exists()


def use_a_pool_at_exit(path, context):
    pool = context.Pool(1)
    manager = context.Manager()
    shared = manager.list([4])
    atexit.register(lambda: say(path, f"{pool.map(abs, [-3])} {shared[0]}"))
    kept.extend((pool, manager))


@pytest.mark.filterwarnings("ignore:unclosed running")
def test_an_exit_function_of_a_child_may_use_its_pool_and_manager(context, tmp_path):
    assert status_of(context, use_a_pool_at_exit, str(tmp_path / "said"), context) == 0
    assert (tmp_path / "said").read_text() == "[3] 4\n"


def fail_with_a_thread(path):
    ended = threading.Event()
    threading._register_atexit(ended.set)
    threading.Thread(target=lambda: (ended.wait(), say(path, "thread"))).start()
    atexit.register(say, path, "exit function")
    raise ValueError("once")


def test_an_exception_is_printed_once_and_the_end_is_that_of_any_child(context, tmp_path, capfd):
    path = str(tmp_path / "said")
    assert status_of(context, fail_with_a_thread, path) == 1
    with open(path) as file:
        assert file.read().splitlines() == ["thread", "exit function"]
    assert capfd.readouterr().err.count("ValueError: once") == 1


PARENT_EXITS = """
import atexit, sys, tempfile, threading, weakref
import procession


class Thing:
    pass


thing = Thing()


def begin():
    weakref.finalize(thing, print, "finalize", flush=True)
    atexit.register(print, "exit function", flush=True)
    procession.util.Finalize(None, print, ("finalizer",), {"flush": True}, exitpriority=0)
    print("exiting:", procession.util.is_exiting(), flush=True)


def start():
    child = procession.get_context(sys.argv[1]).Process(target=begin)
    child.start()
    child.join()
    print(child.exitcode, flush=True)


if __name__ == "__main__":
    procession.Process  # whatever is registered first runs last
    if sys.argv[2] == "finalizer":
        procession.util.Finalize(None, start, exitpriority=-1)
    else:
        weakref.finalize(Thing, print, "parent's", flush=True)
        atexit.register(start)
        thing2 = Thing()
        weakref.finalize(thing2, print, "parent's second", flush=True)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_an_exit_function_ends_as_any(method, tmp_path):
    expected = "exiting: False\nexit function\nfinalize\nfinalizer\n0\nparent's second\nparent's\n"
    assert printed(tmp_path, PARENT_EXITS, method, "function") == expected


@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_a_finalizer_at_exit_ends_as_any(method, tmp_path):
    expected = "exiting: False\nexit function\nfinalize\nfinalizer\n0\n"
    assert printed(tmp_path, PARENT_EXITS, method, "finalizer") == expected


def begin_with_a_finalizer_that_fails():
    util.Finalize(None, sys.exit, args=(1,), exitpriority=20)
    util.Finalize(None, interrupt, exitpriority=19)
    util.Finalize(None, print, args=("the last finalizer",), kwargs={"flush": True}, exitpriority=0)


def test_a_finalizer_that_exits_does_not_keep_others_from_running(context, capfd):
    assert status_of(context, begin_with_a_finalizer_that_fails) == 0
    assert capfd.readouterr().out == "the last finalizer\n"


def printed(path, program, *arguments):
    script = path / "program.py"
    script.write_text(program)
    command = [sys.executable, str(script), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_no_process_of_these_tests_is_on_its_way_out():
    assert not util.is_exiting()
    assert process.active_children() == []
