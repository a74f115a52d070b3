"""Functions that workers could not import: defined after they began, or by the program itself only."""

import subprocess
import sys
import textwrap

import pytest

LIMIT_S = 60

PROGRAM = """
import procession

def early(x):
    return x + 1

if __name__ == "__main__":
    context = procession.get_context(METHOD)

    def guarded(x):
        return early(x) * 10

    with context.Pool(2) as pool:
        def late(x):
            return guarded(x) + early(x)

        print(pool.map(early, range(3)), pool.map(guarded, range(3)), pool.map(late, range(3)))

        def late(x):
            return -x

        print(pool.map(late, range(3)), pool.apply(early, (1,)))

    queue = context.SimpleQueue()

    def target(queue):
        queue.put(late(3))

    child = context.Process(target=target, args=(queue,))
    child.start()
    child.join()
    print(queue.get())
"""

OUTPUT = """\
[1, 2, 3] [10, 20, 30] [11, 22, 33]
[0, -1, -2] 2
-3
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_functions_of_the_program_reach_workers_wherever_they_are_defined(tmp_path, method):
    (tmp_path / "script.py").write_text(PROGRAM.replace("METHOD", repr(method)))
    result = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, OUTPUT, "")


GUARDS = """
import sys
value = 1
if value and __name__ == "__main__":
    # what the program defines
    try:
        class Inner:
            def method(self): pass
    except ValueError:
        def on_error(): pass
    for _ in range(1):
        async def in_loop(): pass
else:
    def imported(): pass
if "__main__" == __name__:

    def last(): pass
    elsewhere = type("elsewhere", (), {})
def after(): pass
def function():
    global Row
    Row = 1
"""


def test_what_the_main_module_defines_for_those_who_import_it_is_recognised(tmp_path):
    from procession._objects import main_source

    def defined(text, *names):
        path = tmp_path / f"main{len(text)}.py"
        path.write_text(textwrap.dedent(text))
        return {name for name in names if main_source.defines(str(path), name)}

    everything = {"value", "Inner", "on_error", "in_loop", "last", "imported", "after", "method", "elsewhere", "Row"}
    assert defined(GUARDS, *everything) == {"value", "imported", "after"}
    assert defined("def f(): pass\nif __name__ == '__main__':\n    f()\n", "f") == {"f"}
    assert defined("def f(): pass\nif __name__ == '__main__':\n    def f(): return 1\n", "f") == {"f"}
    assert defined("try:\n    from a import b as c, d.e\nexcept E as f:\n    pass\n", "b", "c", "d", "f") == set()
    text = "try:\n    from a import b as c, d\n    x = (y, z) = g()\nfinally:\n    class F: w = 1\n"
    assert defined(text + "for i in k: u: int = 1\n", *"abcdxyzgFwiku") == set("cdxyzFiu")
    assert defined("class Shape: pass\nif __name__ == '__main__':\n    def broken(:\n", "Shape") == {"Shape"}
    assert not main_source.defines(str(tmp_path / "nowhere.py"), "f")


COUNTED_WARNINGS = """
import threading, procession, os, signal, warnings

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def work(pool):
    for _ in range(3):
        try:
            pool.apply(die)
        except procession.WorkerDied:
            print("died")
    print(pool.apply(abs, (-1,)))

if __name__ == "__main__":
    stop = threading.Event()
    OTHER
    with procession.get_context("fork").Pool(2) as pool:
        user = threading.Thread(target=work, args=(pool,))
        user.start()
        user.join()
    stop.set()
"""


@pytest.mark.parametrize(
    ("other", "warnings"), [("", 0), ("threading.Thread(target=stop.wait, name='other').start()", 1)]
)
def test_a_pool_that_forks_warns_once_and_only_of_threads_that_are_news(tmp_path, other, warnings):
    (tmp_path / "script.py").write_text(COUNTED_WARNINGS.replace("OTHER", other))
    command = [sys.executable, "-W", "always", "script.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert (result.returncode, result.stdout) == (0, "died\ndied\ndied\n1\n")
    assert result.stderr.count("ForkBesideThreads: ") == warnings, result.stderr
