"""What a child has of its parent's state: the same as in the standard library, start method by start method."""

import json
import subprocess
import sys

import procession
import pytest

LIMIT_S = 60

PROGRAM = """
import importlib, json, os, resource, sys

mp = importlib.import_module(sys.argv[1])


def state():
    mask = os.umask(0)
    os.umask(mask)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return mask, files, os.getcwd(), os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0))


if __name__ == "__main__":
    context = mp.get_context(sys.argv[2])
    os.umask(0o022)
    states = []
    with context.Pool(1) as pool:  # a server that is needed begins here
        states.append(pool.apply(state))
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_NOFILE, (333, 4096))
    os.chdir("/usr")
    os.nice(3)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    with context.Pool(1) as pool:
        states.append(pool.apply(state))
    with context.Pool(1, os.umask, (0o027,)) as pool:
        states.append(pool.apply(state))
    print(json.dumps([states, state()]))
"""


def told(library, method, path):
    program = path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore", str(program), library, method]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("method", procession.get_all_start_methods())
def test_a_child_has_of_its_parent_what_it_has_in_the_standard_library(method, tmp_path):
    ours, theirs = (told(library, method, tmp_path) for library in ("procession", "multiprocessing"))
    assert ours == theirs
    (first, second, third), parent = ours
    assert second[2] == "/usr" and third[0] == 0o027
    # Only the directory is that of the parent at the moment, where a server stands in between.
    assert second == (parent if method != "forkserver" else [*first[:2], "/usr", *first[3:]])


STDIN = """
import sys
import procession


def read():
    print(sys.stdin.read() == "", sys.__stdin__.closed, flush=True)


if __name__ == "__main__":
    sys.stdin.readline()  # the rest lies in the buffer, which a fork copies
    child = procession.get_context(sys.argv[1]).Process(target=read)
    child.start()
    child.join()
    print(sys.stdin.readline().strip(), child.exitcode)
"""


@pytest.mark.parametrize("method", procession.get_all_start_methods())
def test_a_child_does_not_read_its_parents_input(method, tmp_path):
    assert printed(tmp_path, STDIN, method, stdin="first\nsecond\n") == "True True\nsecond 0\n"


CROWDED = """
import os, sys, procession

def read():
    print(sys.stdin.read() == "", flush=True)
    grandchild = procession.get_context("fork").Process(target=lambda: print(sys.stdin.read() == "", flush=True))
    grandchild.start()
    grandchild.join()

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    for what in ("nothing", "all numbers that a child would take", "no standard stream"):
        if what.startswith("all"):
            taken = [os.dup(1) for _ in range(100)]
        if what.startswith("no "):
            os.close(0)
        child = context.Process(target=read)
        child.start()
        child.join()
        print(child.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_child_has_an_empty_stdin_whatever_descriptors_its_parent_has(tmp_path, method):
    assert printed(tmp_path, CROWDED, method, stdin="first\n") == "True\nTrue\n0\n" * 3


HANDLERS = """
import signal
import procession

NUMBERS = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD
for number in NUMBERS[:3]:
    signal.signal(number, lambda *_: None)
signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def tell():
    names = {signal.default_int_handler: "interrupt", signal.SIG_DFL: "default", signal.SIG_IGN: "ignored"}
    print(*(names.get(signal.getsignal(number), "other") for number in NUMBERS), flush=True)


if __name__ == "__main__":
    child = procession.get_context(__import__("sys").argv[1]).Process(target=tell)
    child.start()
    child.join()
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_a_copied_child_has_no_handlers_of_its_parent(method, tmp_path):
    assert printed(tmp_path, HANDLERS, method) == "interrupt default default ignored default\n"


INTERRUPTED = """
import atexit, os, signal
import procession

PARENT = os.getpid()
armed = False


def interrupt():
    if armed:
        os.kill(os.getpid(), signal.SIGINT)  # which waits until the child lets signals through


if __name__ == "__main__":
    os.register_at_fork(after_in_child=interrupt)
    atexit.register(lambda: print("the exit function runs in the parent:", os.getpid() == PARENT, flush=True))
    context = procession.get_context("fork")
    sibling = context.Process(target=signal.pause, daemon=True)
    sibling.start()
    armed = True
    child = context.Process(target=print, args=("the child runs",))
    child.start()
    child.join()
    print(child.exitcode, sibling.is_alive(), flush=True)
"""


def test_a_child_that_is_interrupted_at_once_does_nothing_of_its_parents(tmp_path):
    assert printed(tmp_path, INTERRUPTED) == "1 True\nthe exit function runs in the parent: True\n"


EXIT_FUNCTION = """
import atexit, threading
import procession


def wait(main_waits):
    atexit.register(print, "the exit function ran", flush=True)
    main_waits.acquire()
    threading.Thread(target=hold, args=(threading.main_thread(),)).start()


def hold(main):
    import os, signal, sys
    while "_shutdown" not in {frame.f_code.co_name for frame in frames(sys._current_frames()[main.ident])}:
        pass
    os.kill(os.getpid(), signal.SIGINT)


def frames(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back


if __name__ == "__main__":
    context = procession.get_context("fork")
    child = context.Process(target=wait, args=(context.Semaphore(1),))
    child.start()
    child.join()
    print(child.exitcode)
"""


def test_exit_functions_of_a_forked_child_run_after_an_interrupt_at_its_end(tmp_path):
    # From Python 3.13 on the interpreter takes an interrupt in the midst of its wait for a thread as the end of that.
    statuses = (1,) if sys.version_info < (3, 13) else (0, 1)
    assert printed(tmp_path, EXIT_FUNCTION) in [f"the exit function ran\n{status}\n" for status in statuses]


def printed(path, program, *arguments, stdin=None):
    script = path / "program.py"
    script.write_text(program)
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=LIMIT_S).stdout
