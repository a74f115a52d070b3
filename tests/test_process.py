"""Processes: their attributes, their life and their end, under every start method."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time

import procession
import pytest
from procession import _procession as engine
from procession._children import late_logging
from procession._testing.belongings import doing

LIMIT = 60  # seconds; far more than anything here takes


def nothing():
    pass


def write_line(fd, text):
    os.write(fd, f"{text}\n".encode())


def tell_environment(path):
    me, parent = procession.current_process(), procession.parent_process()
    with open(path, "w") as file:
        file.write(f"{me.name}|{me.pid == os.getpid()}|{me.daemon}|{parent.pid}|{parent.name}|{parent.is_alive()}")


def leave(code):
    sys.exit(code)


def fail(message):
    raise ValueError(message)


def stay():
    while True:
        time.sleep(60)


def refuse_sigterm(path):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    touch(path)
    stay()


def touch(path, *text):
    with open(f"{path}.part", "w") as file:
        file.write(" ".join(map(str, text)))
    os.rename(f"{path}.part", path)


def wait_for(path):
    end = time.monotonic() + LIMIT
    while not os.path.exists(path):
        assert time.monotonic() < end, f"no {path}"
        time.sleep(0.005)
    with open(path) as file:
        return file.read()


def finish(process):
    process.join(LIMIT)
    assert process.exitcode is not None
    return process.exitcode


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "told")


def test_a_process_knows_itself_and_its_parent(context, path):
    process = context.Process(target=tell_environment, args=(path,), name="child", daemon=True)
    process.start()
    assert finish(process) == 0
    assert wait_for(path) == f"child|True|True|{os.getpid()}|MainProcess|True"


def test_a_process_is_alive_from_start_to_end(context):
    process = context.Process(target=stay)
    assert not process.is_alive() and process.exitcode is None and process.pid is None
    process.start()
    try:
        assert process.is_alive() and process.exitcode is None
        assert process in procession.active_children()
        process.join(0)
        process.join(-1)
        assert process.is_alive()
    finally:
        process.kill()
    assert finish(process) == -signal.SIGKILL
    assert not process.is_alive() and process not in procession.active_children()


after_forks = []  # what is called in the parent, before a start has returned
os.register_at_fork(after_in_parent=lambda: [call() for call in after_forks])


def test_a_process_that_runs_is_alive_although_its_start_has_not_returned():
    context = procession.get_context("fork")
    runs = context.Event()
    process = context.Process(target=runs.set)
    seen = []
    parent = os.getpid()

    def look():
        if os.getpid() == parent and runs.wait(LIMIT):  # else it was another fork
            seen.append(process.is_alive())

    after_forks.append(look)
    try:
        process.start()
    finally:
        after_forks.clear()
    assert seen == [True], f"the process {doing(process.pid)}"
    process.join()
    assert not process.is_alive()


@pytest.mark.parametrize("code, status", [(None, 0), (0, 0), (7, 7), (True, 1), ("a message", 1), ([1], 1)])
def test_sys_exit_gives_the_exit_status(context, code, status, capfd):
    process = context.Process(target=leave, args=(code,))
    process.start()
    assert finish(process) == status
    expected = "" if isinstance(code, int | None) else f"{code}\n"
    assert capfd.readouterr().err == expected


def test_an_exception_is_printed_and_gives_status_1(context, capfd):
    process = context.Process(target=fail, args=("because",), name="unlucky")
    process.start()
    assert finish(process) == 1
    error = capfd.readouterr().err
    assert error.startswith("Process unlucky:\nTraceback") and error.endswith("ValueError: because\n")


@pytest.mark.parametrize("method, number", [("terminate", 15), ("kill", 9), ("interrupt", 2)])
def test_a_signal_ends_a_process(context, method, number, path):
    process = context.Process(target=touch_and_stay, args=(path,))
    process.start()
    wait_for(path)
    getattr(process, method)()
    # SIGINT becomes KeyboardInterrupt, an exception like any other.
    assert finish(process) == (1 if method == "interrupt" else -number)


def touch_and_stay(path):
    sys.stderr = open(os.devnull, "w")
    touch(path)
    stay()


def test_the_sentinel_is_ready_when_the_process_has_ended(context):
    import select

    process = context.Process(target=nothing)
    with pytest.raises(ValueError):
        _ = process.sentinel
    process.start()
    assert select.select([process.sentinel], [], [], LIMIT)[0] == [process.sentinel]
    assert finish(process) == 0
    assert select.select([process.sentinel], [], [], 0)[0] == [process.sentinel]


def test_a_closed_process_refuses_everything(context):
    process = context.Process(target=stay)
    process.start()
    with pytest.raises(ValueError):
        process.close()
    process.kill()
    finish(process)
    process.close()
    process.close()
    for use in (process.join, process.is_alive, process.terminate, process.start, lambda: process.exitcode):
        with pytest.raises(ValueError):
            use()


def test_misuse_is_an_error_at_once(context):
    process = context.Process(target=nothing)
    with pytest.raises(AssertionError):
        process.join()
    with pytest.raises(AssertionError):
        context.Process(group=1)
    with pytest.raises(TypeError):
        context.Process(nonsense=1)
    with pytest.raises(AssertionError):
        process.name = 1
    process.start()
    with pytest.raises(AssertionError):
        process.start()
    with pytest.raises(AssertionError):
        process.daemon = True
    finish(process)


class Greeter(procession.Process):
    """A subclass of the default context's process."""

    def __init__(self, path, whom):
        super().__init__(name="greeter")
        self.path, self.whom = path, whom

    def run(self):
        touch(self.path, "hello", self.whom)


def test_a_subclass_runs_its_own_run(path):
    process = Greeter(path, "world")
    process.start()
    assert finish(process) == 0
    assert wait_for(path) == "hello world"


def start_daemon_inside(path):
    process = procession.Process(target=touch, args=(path, "from below"))
    process.start()
    process.join()


def test_a_daemon_may_have_children(context, path):
    process = context.Process(target=start_daemon_inside, args=(path,), daemon=True)
    process.start()
    assert finish(process) == 0
    assert wait_for(path) == "from below"


def test_a_lambda_and_a_closure_reach_the_child(context, path):
    word = "closure"
    process = context.Process(target=lambda: touch(path, word))
    process.start()
    assert finish(process) == 0
    assert wait_for(path) == "closure"


class Client:
    def __init__(self):
        self.settings = {"lock": [threading.Lock()]}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_an_error_names_the_part_that_cannot_be_pickled(method):
    process = procession.get_context(method).Process(target=nothing, args=(1, Client()))
    with pytest.raises(TypeError, match=r"args\[1\].settings\['lock'\]\[0\]: lock"):
        process.start()


def announce_and_watch(path):
    touch(path, os.getpid())
    procession.parent_process().join(LIMIT)
    touch(path + ".parent", "gone" if not procession.parent_process().is_alive() else "alive")
    stay()


def start_watcher(path):
    procession.Process(target=announce_and_watch, args=(path,)).start()
    stay()


def test_a_child_sees_its_parents_death_and_does_not_outlive_it(context, path):
    process = context.Process(target=start_watcher, args=(path,))
    process.start()
    pidfd = os.pidfd_open(int(wait_for(path)))
    try:
        process.kill()
        finish(process)
        assert wait_for(path + ".parent") == "gone"
        assert procession._procession.wait_readable([pidfd], LIMIT)
    finally:
        os.close(pidfd)


def test_a_foreign_waitpid_does_not_lose_the_exit_status(path):
    process = procession.get_context("fork").Process(target=leave, args=(5,))
    process.start()
    os.waitpid(process.pid, 0)
    assert finish(process) in (5, 255)
    assert not process.is_alive()


@pytest.mark.parametrize("ignored", [signal.SIG_IGN])
def test_an_ignored_sigchld_does_not_hang_join(context, ignored):
    before = signal.signal(signal.SIGCHLD, ignored)
    try:
        processes = [context.Process(target=leave, args=(3,)) for _ in range(5)]
        for process in processes:
            process.start()
        # Before Linux 6.15 the kernel forgets the status of what it reaps itself: then it is 255.
        assert {finish(process) for process in processes} in ({3}, {255}, {3, 255})
    finally:
        signal.signal(signal.SIGCHLD, before)


def tell_signals(path):
    handled = [n for n in signal.valid_signals() if signal.getsignal(n) not in (signal.SIG_DFL, signal.SIG_IGN, None)]
    touch(path, [int(n) for n in handled], int(signal.getsignal(signal.SIGUSR2)), signal.pthread_sigmask(0, ()))


def test_a_child_starts_with_clean_signals(context, path):
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        process = context.Process(target=tell_signals, args=(path,))
        process.start()
        assert finish(process) == 0
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    # What the parent ignores or blocks stays so; its handlers are its own.
    blocked = {signal.SIGHUP}
    assert wait_for(path) == f"[{int(signal.SIGINT)}] {int(signal.SIG_IGN)} {blocked}"


def tell_random(path):
    import random

    import numpy

    touch(path, random.random(), numpy.random.random())


def test_children_have_random_states_of_their_own(context, tmp_path):
    import random

    import numpy

    random.seed(1)
    numpy.random.seed(1)
    paths = [str(tmp_path / str(n)) for n in range(3)]
    processes = [context.Process(target=tell_random, args=(path,)) for path in paths]
    for process in processes:
        process.start()
    for process in processes:
        assert finish(process) == 0
    numbers = [number for path in paths for number in wait_for(path).split()]
    assert len(set(numbers)) == 6


def tell_surroundings(path):
    touch(path, os.getcwd(), sys.argv[-1], sys.path[0], os.environ.get("PROCESSION_TEST"), sys.stdin.read())


def test_a_child_has_the_parents_surroundings_at_its_start(context, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program", "argument"])
    monkeypatch.syspath_prepend("/somewhere")
    monkeypatch.setenv("PROCESSION_TEST", "yes")
    process = context.Process(target=tell_surroundings, args=(path,))
    process.start()
    assert finish(process) == 0
    assert wait_for(path) == f"{tmp_path} argument /somewhere yes "


def look_at_stdin(path, depth):
    device = os.fstat(sys.stdin.fileno()).st_rdev == os.stat(os.devnull).st_rdev
    found = [sys.stdin.read(), list(sys.stdin), device, sys.stdin.encoding]
    if depth == 1:
        sys.stdin.close()  # its own child has one all the same
    if depth < 3:
        child = procession.get_context("fork").Process(target=look_at_stdin, args=(f"{path}{depth}", depth + 1))
        child.start()
        child.join()
        found.append(child.exitcode)
    touch(path, repr(found))


def test_a_child_and_its_children_have_an_empty_stdin(context, path):
    for first in (path, f"{path}-again-"):
        process = context.Process(target=look_at_stdin, args=(first, 0))
        process.start()
        # Between two children the number that the last stdin had may be another file's.
        with open(os.devnull, "w"):
            assert finish(process) == 0
        assert wait_for(first) == wait_for(f"{first}0") == "['', [], True, 'utf-8', 0]"
        assert wait_for(f"{first}012") == "['', [], True, 'utf-8']"


def read_stdin():
    sys.exit(0 if sys.stdin.read() == "" else 5)


def fork_some(codes):
    for _ in range(20):
        child = procession.get_context("fork").Process(target=read_stdin)
        child.start()
        child.join()
        codes.append(child.exitcode)


@pytest.mark.filterwarnings("ignore:a process is forked while other threads run")
def test_children_that_threads_fork_at_the_same_time_have_an_empty_stdin_each():
    codes = []
    threads = [threading.Thread(target=fork_some, args=(codes,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 60


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_forkserver_is_replaced(number):
    from procession.forkserver import _forkserver

    context = procession.get_context("forkserver")
    orphan = context.Process(target=stay)
    orphan.start()
    os.kill(_forkserver._forkserver_pid, number)
    process = context.Process(target=leave, args=(4,))
    process.start()
    assert finish(process) == 4
    orphan.kill()
    assert finish(orphan) == 255


def read_descriptors(path, *fds):
    touch(path, *(os.read(fd.detach(), 10).decode() for fd in fds))


class Inherited:
    """A descriptor as an argument: pickled as a copy, or inherited by a fork."""

    def __init__(self, fd):
        self.fd = fd

    def __reduce__(self):
        return unwrap, (procession.reduction.DupFd(self.fd),)

    def detach(self):
        return self.fd


def unwrap(stand_in):
    return stand_in


def test_a_child_inherits_many_descriptors(context, path):
    pipes = [os.pipe() for _ in range(150)]
    try:
        for number, (_, writer) in enumerate(pipes):
            os.write(writer, str(number).encode())
        process = context.Process(target=read_descriptors, args=(path, *(Inherited(r) for r, _ in pipes)))
        process.start()
        assert finish(process) == 0
        assert wait_for(path).split() == [str(n) for n in range(150)]
    finally:
        for pipe in pipes:
            for fd in pipe:
                os.close(fd)


def test_the_forkserver_serves_many_children_and_the_limit_of_descriptors_is_the_users(path):
    import resource

    context = procession.get_context("forkserver")
    processes = [context.Process(target=time.sleep, args=(60,)) for _ in range(100)]
    for process in processes:
        process.start()
    teller = context.Process(target=touch_limit, args=(path,))
    teller.start()
    for process in processes:
        process.kill()
    assert {finish(process) for process in processes} == {-signal.SIGKILL}
    assert finish(teller) == 0
    assert wait_for(path) == str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def touch_limit(path):
    import resource

    touch(path, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def get_stuck(path):
    import re

    touch(path, os.getpid())
    re.match(r"(a+)+$", "a" * 60 + "b")  # never returns, and never lets another Python thread run


def start_stuck(path):
    procession.Process(target=get_stuck, args=(path,)).start()
    stay()


def test_a_child_stuck_in_foreign_code_does_not_outlive_its_parent(context, path):
    process = context.Process(target=start_stuck, args=(path,))
    process.start()
    pidfd = os.pidfd_open(int(wait_for(path)))
    try:
        process.kill()
        finish(process)
        assert procession._procession.wait_readable([pidfd], LIMIT)
    finally:
        os.close(pidfd)


def test_a_context_is_one_of_the_standard_librarys(context):
    import multiprocessing
    import pickle

    assert isinstance(context, multiprocessing.context.BaseContext)
    assert pickle.loads(pickle.dumps(context)) is context


def tell_log_name(path):
    record = logging.getLogger("any").makeRecord("any", logging.INFO, __file__, 1, "text", (), None)
    touch(path, record.processName)


def test_log_records_name_their_process(context, path):
    process = context.Process(target=tell_log_name, args=(path,), name="teller")
    process.start()
    assert finish(process) == 0
    assert wait_for(path) == "teller"


@pytest.mark.filterwarnings("ignore:a process is forked while:DeprecationWarning")
def test_many_threads_may_start_processes_at_once(context):
    codes = []

    def start_some(number):
        processes = [context.Process(target=leave, args=(number,)) for _ in range(3)]
        for process in processes:
            process.start()
        codes.extend(finish(process) for process in processes)

    threads = [threading.Thread(target=start_some, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * LIMIT)
    assert sorted(codes) == sorted(3 * list(range(6)))


def test_a_forked_copy_of_the_parent_cannot_use_its_children(path):
    process = procession.get_context("forkserver").Process(target=stay)
    process.start()
    pid = os.fork()
    if pid == 0:
        try:
            process.join(0)
        except AssertionError:
            os._exit(7 if process.exitcode is None else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    process.kill()
    assert finish(process) == -signal.SIGKILL


def log_late(writer):
    for name in ("logging", "multiprocessing"):  # as in a fresh interpreter that has not loaded them
        for module in [m for m in sys.modules if m.partition(".")[0] == name]:
            del sys.modules[module]
    for do, arguments in late_logging.name_chores():
        do(*arguments)
    import logging

    record = logging.getLogRecordFactory()("a", logging.INFO, "a.py", 1, "text", (), None)
    writer.send((record.processName, type(logging.__loader__).__name__))


def test_log_records_name_the_process_when_logging_is_loaded_late(context):
    reader, writer = context.Pipe(False)
    child = context.Process(target=log_late, args=(writer,), name="Late")
    child.start()
    writer.close()
    name, loader = reader.recv()
    child.join()
    reader.close()
    assert (name, loader) == ("Late", "SourceFileLoader")


def test_none_as_keyword_arguments_is_none(context, capfd):
    child = context.Process(target=print, args=("called",), kwargs=None)
    child.start()
    assert finish(child) == 0
    assert capfd.readouterr().out == "called\n"


UNFIXED = """
import sys
import procession


if __name__ == "__main__":
    child = procession.get_context(sys.argv[1]).Process(target=print)
    child.start()
    child.join()
    print(child.exitcode, procession.get_start_method(allow_none=True))
    procession.set_start_method("spawn")
"""


def test_a_child_of_a_context_leaves_the_default_start_method_open(context, tmp_path):
    (tmp_path / "program.py").write_text(UNFIXED)
    command = [sys.executable, str(tmp_path / "program.py"), context.get_start_method()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (run.stdout.split(), run.stderr) == (["0", "None"], "")


def test_a_number_that_another_process_has_got_is_neither_signalled_nor_waited_for():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    now = engine.identity_of(other.pid)
    reader, writer = os.pipe()  # what stands for the pidfd of a process that has ended
    os.close(writer)
    try:
        with pytest.raises(ProcessLookupError):
            engine.send_signal(reader, signal.SIGKILL, other.pid, now ^ 1 << 32)
        with pytest.raises(ChildProcessError):
            engine.collect_status(reader, other.pid, now ^ 1 << 32)
        assert other.poll() is None and engine.collect_status(reader, other.pid, now) is None
        engine.send_signal(reader, signal.SIGKILL, other.pid, now)
        assert other.wait(LIMIT) == -signal.SIGKILL
    finally:
        os.close(reader)
        other.kill()
        other.stdin.close()


def test_an_argument_that_a_process_does_not_take_is_named():
    for kind in (procession.Process, procession.get_context("fork").Process):
        with pytest.raises(TypeError, match=rf"{kind.__name__}\(\) got an unexpected keyword argument 'niceness'"):
            kind(target=print, niceness=3)


@pytest.mark.parametrize("method", ["terminate", "kill", "interrupt"])
def test_the_running_process_is_not_ended_by_its_own_object(method):
    with pytest.raises(ValueError, match=f"cannot {method} <_MainProcess .*only its parent can"):
        getattr(procession.current_process(), method)()


def test_the_logger_has_what_the_standard_one_has():
    logger = procession.get_logger()
    assert logger.name == "multiprocessing" and logger.propagate == 0 and type(logger.propagate) is int
