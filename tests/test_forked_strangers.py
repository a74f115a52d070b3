"""A process that the program forked by itself: its copies of pools and processes are nothing to those of its parent."""

import os
import subprocess
import sys

import procession
import pytest

LIMIT_S = 100

METHODS = procession.get_all_start_methods()

BEGIN = """
import atexit, gc, os, sys, threading, time
import procession
from procession.futures import ProcessPoolExecutor

method = sys.argv[1]


def say(*what):
    os.write(1, (" ".join(map(str, what)) + "\\n").encode())


def attempt(call, *arguments):
    try:
        say(call.__name__, call(*arguments))
    except (AssertionError, RuntimeError, ValueError) as error:
        say(call.__name__, type(error).__name__, error)


class All:
    # What a program may have when it forks, each in use.

    def __init__(self):
        self.context = context = procession.get_context(method)
        self.pool = context.Pool(1)
        self.threads = procession.pool.ThreadPool(1)
        self.executor = ProcessPoolExecutor(1, mp_context=context)
        self.shared = procession.shared_pool(1, context=context)
        self.manager = context.Manager()
        self.list = self.manager.list([1])
        self.release = context.Event()
        self.queue, self.lock, self.value = context.Queue(), context.Lock(), context.Value("i", 0)
        self.child = context.Process(target=self.release.wait)
        self.child.start()
        self.daemon = context.Process(target=self.release.wait, daemon=True)
        self.daemon.start()
        self.results = [self.pool.apply_async(abs, (-1,)), self.threads.apply_async(abs, (-2,))]
        self.future = self.executor.submit(abs, -3)
        self.iterator = self.pool.imap(abs, [-4])
        self.shared.map(abs, [-5])
        self.pid = os.getpid()

    def check(self):
        # They are as before: for the process that has made them.
        assert self.pool.map(abs, [-1, -2]) == [1, 2] and self.shared.map(abs, [-1]) == [1]
        assert self.threads.map(abs, [-1]) == [1]
        assert self.executor.submit(abs, -7).result() == 7
        assert [result.get() for result in self.results] == [1, 2]
        assert self.future.result() == 3 and next(self.iterator) == 4
        assert self.list[:] == [1] and self.manager.list([2])[0] == 2
        assert self.child.is_alive() and self.daemon.is_alive()
        assert len(procession.active_children()) >= 5

    def end(self):
        self.release.set()
        self.child.join()
        assert self.child.exitcode == 0
        self.pool.terminate()
        self.pool.join()
        self.threads.terminate()
        self.threads.join()
        self.executor.shutdown()
        self.manager.shutdown()
        procession.end_shared_pools()
        say("all is well")


def after(pid, objects):
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    objects.check()
    objects.end()
    say("the stranger ended with", status)


if __name__ == "__main__":
    objects = All()
    pid = {fork}
    if pid:
        after(pid, objects)
"""


def program(then, fork="os.fork()"):
    return BEGIN.replace("{fork}", fork) + "    else:\n" + "".join(f"        {line}\n" for line in then.splitlines())


def printed(path, text, method):
    script = path / "program.py"
    script.write_text(text)
    # Forks beside threads are what these programs are about.
    command = [sys.executable, "-W", "always", "-W", "ignore::DeprecationWarning", str(script), method]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


END = ["all is well", "the stranger ended with 0"]


@pytest.mark.parametrize("method", METHODS)
def test_the_exit_of_a_forked_stranger_leaves_all_alone(method, tmp_path):
    assert printed(tmp_path, program("say(procession.active_children())"), method) == ["[]", *END]


COLLECTED = """
vars(objects).clear()
gc.collect()
"""


@pytest.mark.parametrize("method", METHODS)
def test_the_copies_that_a_stranger_collects_are_nothing_to_its_parent(method, tmp_path):
    assert printed(tmp_path, program(COLLECTED), method) == END


ENDED = """
objects.pool.close(), objects.pool.join(), objects.pool.terminate(), objects.pool.join()
objects.threads.terminate(), objects.threads.join()
objects.executor.shutdown(), objects.executor.kill_workers(), objects.executor.terminate_workers()
objects.shared.terminate(), objects.shared.join(), procession.end_shared_pools()
objects.manager.shutdown()
with objects.executor, objects.manager:
    pass
"""


@pytest.mark.parametrize("method", METHODS)
def test_to_end_what_is_not_its_own_does_nothing_in_a_stranger(method, tmp_path):
    text = program(ENDED.replace("with objects.executor, objects.manager:\n    pass\n", ""))
    assert printed(tmp_path, text, method) == END


USED = """
objects.queue.put(1)
with objects.lock, objects.value:
    objects.value.value += objects.queue.get(timeout=60)
objects.release.is_set()
say(objects.value.value, objects.list[0], objects.manager.list([3])[0])
for pool in objects.pool, objects.shared, objects.threads:
    for name in "map", "map_async", "imap", "imap_unordered":
        attempt(getattr(pool, name), abs, [-1])
    for name in "starmap", "starmap_async":
        attempt(getattr(pool, name), abs, [(-1,)])
    for name in "apply", "apply_async":
        attempt(getattr(pool, name), abs, (-1,))
attempt(objects.pool.stats)
attempt(objects.pool.dump_stacks)
attempt(objects.results[0].get)
attempt(objects.iterator.next)
attempt(objects.executor.submit, abs, -1)
attempt(objects.child.join)
attempt(objects.child.is_alive)
"""


@pytest.mark.parametrize("method", METHODS)
def test_what_works_in_a_stranger_works_and_the_rest_says_whose_it_is(method, tmp_path):
    first, *errors = printed(tmp_path, program(USED), method)
    assert first == "1 1 3" and errors[-2:] == END
    assert len(errors) == 3 * 8 + 7 + 2
    there = ("get 1", "next 4")  # had come before the fork
    for error in errors[:-2]:
        assert error in there or any(
            word in error for word in ("belongs to", "stayed behind in the fork", "only the parent")
        ), error


WAITING = (
    BEGIN.replace(
        "    objects = All()\n",
        """    objects = All()
    go, context = threading.Event(), objects.context
    event = context.Event()
    threaded, process = objects.threads.apply_async(go.wait), objects.executor.submit(event.wait)
    lazy = objects.threads.imap(abs, [1])
""",
    )
    .replace("{fork}", "os.fork()")
    .replace("        after(", "        go.set(), event.set(), after(")
)


@pytest.mark.parametrize("method", METHODS)
def test_an_outcome_that_cannot_come_to_a_stranger_is_not_waited_for(method, tmp_path):
    calls = ["threaded.get", "threaded.wait", "lazy.next", "process.result", "process.result"]
    text = WAITING + "    else:\n" + "".join(f"        attempt({call})\n" for call in calls)
    *errors, well, ended = printed(tmp_path, text, method)
    assert [well, ended] == END and len(errors) == len(calls)
    assert all("RuntimeError" in error and "belongs to process" in error for error in errors)


WAYS = """
import asyncio, concurrent.futures as standard, warnings

warnings.simplefilter("ignore")


def outcome(call):
    try:
        return call()
    except RuntimeError as error:
        return "belongs to process" in str(error)


async def awaited():
    outcomes = []
    for wait in (lambda: asyncio.wrap_future(process), lambda: threaded, lambda: lazy.__anext__()):
        try:
            outcomes.append(await wait())
        except RuntimeError as error:
            outcomes.append("belongs to process" in str(error))
    return outcomes


say(*(len(part) for part in standard.wait([process, waiting, dropped])))
say(len(list(standard.as_completed([process, waiting, dropped]))))
process.add_done_callback(lambda future: say("callback", future is process))
say(process.done(), process.running(), process.cancel(), process.cancelled(), dropped.cancelled())
say(outcome(process.result), "belongs to process" in str(waiting.exception()))
say(asyncio.run(awaited()))
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_future_of_the_parent_has_an_outcome_in_a_stranger_however_it_is_waited_for(method, tmp_path):
    more = "    waiting, _, dropped = [objects.executor.submit(event.wait) for _ in range(3)]\n    dropped.cancel()\n"
    begin = WAITING.replace(
        "    pid = os", f"{more}    process.add_done_callback(lambda _: said.append(1))\n    pid = os", 1
    )
    begin = begin.replace("    go, context", "    said = []\n    go, context", 1)
    text = begin + "    else:\n" + "".join(f"        {line}\n" for line in WAYS.splitlines() + ["say(said)"])
    lines = printed(tmp_path, text, method)
    assert lines == [
        "3 0",
        "3",
        "callback True",
        "True False False False True",
        "True True",
        "[True, True, True]",
        "[]",
        *END,
    ]


OWN = """
with objects.context.Pool(1) as pool, ProcessPoolExecutor(1, mp_context=objects.context) as executor:
    say(pool.map(abs, [-1]), executor.submit(abs, -2).result())
    pool.terminate(), pool.join()
with objects.context.Manager() as manager:
    say(manager.list([3]))
say(procession.shared_pool(1, context=objects.context).map(abs, [-4]))
daemon = objects.context.Process(target=objects.release.wait, daemon=True)
daemon.start()
say(procession.active_children() != [], daemon.is_alive())
atexit.register(lambda: say("exit function", daemon.is_alive()))
child = objects.context.Process(target=say, args=("child",))
child.start()
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_stranger_has_its_own_pools_and_processes(method, tmp_path):
    lines = printed(tmp_path, program(OWN), method)
    assert lines[:4] == ["[1] 2", "[3]", "[4]", "True True"] and lines[-2:] == END
    assert sorted(lines[4:-2]) == ["child", "exit function True"]


FORKS = {
    "a terminal's": "__import__('pty').fork()[0]",
    "a daemon's": "fork_twice()",
    "the standard library's": "fork_by_the_standard_library()",
    "a program's": "run_a_program()",
}

OTHER_FORKS = """
def fork_twice():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if os.fork():
            sys.exit()  # as most recipes do, with all that runs then
    return pid


def fork_by_the_standard_library():
    import multiprocessing

    child = multiprocessing.get_context("fork").Process(target=gc.collect)
    child.start()
    return child.pid


def run_a_program():
    import subprocess

    subprocess.run(["true"], preexec_fn=gc.collect, check=True)
    return os.fork()


if __name__ == "__main__":
"""


@pytest.mark.parametrize("fork", FORKS)
def test_whoever_forks_the_exit_leaves_all_alone(fork, tmp_path):
    text = program("pass", FORKS[fork]).replace('if __name__ == "__main__":\n', OTHER_FORKS, 1)
    assert printed(tmp_path, text, "forkserver")[-2:] == END


STANDARD = """
import multiprocessing, sys
import procession


def start():
    procession.get_context(sys.argv[1]).Process(target=print, args=("the grandchild",), kwargs={"flush": True}).start()


if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=start)
    child.start()
    child.join()
    print(child.exitcode)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_the_standard_library_waits_for_its_children(method, tmp_path):
    assert printed(tmp_path, STANDARD, method) == ["the grandchild", "0"]


def test_a_stranger_of_a_child_is_one_as_well(context):
    child = context.Process(target=fork_in_a_child, args=(context,))
    child.start()
    child.join(LIMIT_S)
    assert child.exitcode == 5


def fork_in_a_child(context):
    with context.Pool(1) as pool:
        assert pool.map(abs, [-1]) == [1]
        pid = os.fork()
        if pid == 0:
            sys.exit(4)  # through the pool's block and the child's end
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
        assert pool.map(abs, [-2]) == [2]
    sys.exit(5)
