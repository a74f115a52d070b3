"""How children find the main module: each way to run a program, under each start method."""

import subprocess
import sys
import textwrap
import time

import pytest
from procession._children import main_code
from tasks.ctrl_c import begun, check_ended_by_ctrl_c

LIMIT = 60

SIMPLE = """
import procession

def square(number):
    print(number * number, flush=True)

if __name__ == "__main__":
    process = procession.get_context(METHOD).Process(target=square, args=(3,))
    process.start()
    process.join()
    raise SystemExit(process.exitcode)
"""


def run(*command, stdin=None, cwd=None, flags=()):
    """Run a program; return its exit status, its output and its errors."""
    return subprocess.run(
        [sys.executable, *flags, *command], input=stdin, cwd=cwd, capture_output=True, text=True, timeout=LIMIT
    )


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def program(request):
    """The text of a program that starts one process."""
    return textwrap.dedent(SIMPLE).replace("METHOD", repr(request.param))


def check(result):
    assert (result.returncode, result.stdout, result.stderr) == (0, "9\n", "")


@pytest.mark.parametrize("flags", [(), ("-I",), ("-S", "-E", "-O")])
def test_a_script(program, tmp_path, flags):
    (tmp_path / "script.py").write_text(program)
    check(run("script.py", cwd=tmp_path, flags=flags if "-S" not in flags else with_path(tmp_path, flags)))


def with_path(tmp_path, flags):
    # Without `site` nobody finds this package: the script says where it is.
    import procession

    script = tmp_path / "script.py"
    where = procession.__path__[0].rpartition("/")[0]
    script.write_text(f"import sys; sys.path.append({where!r})\n" + script.read_text())
    return flags


CHANGING = """
import procession

NUMBER = 1

def tell():
    print(NUMBER, tell.__code__.co_filename == __file__, flush=True)

if __name__ == "__main__":
    for start in range(4):
        if start == 3:
            with open(__file__) as file:
                text = file.read()
            with open(__file__, "w") as file:
                file.write(text.replace("NUMBER = 1", "NUMBER = 22"))
        process = procession.get_context("spawn").Process(target=tell)
        process.start()
        process.join()
"""


def test_spawned_children_have_the_main_module_as_its_file_is_now(tmp_path):
    (tmp_path / "script.py").write_text(CHANGING)
    result = run("script.py", cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("1 True\n" * 3 + "22 True\n", "")


def test_all_spawned_children_but_the_first_get_the_main_module_compiled(tmp_path):
    path = str(tmp_path / "script.py")
    assert main_code.for_child(path) is None
    (tmp_path / "script.py").write_text("value = 3")
    assert main_code.for_child(path) is None
    kind, code = main_code.for_child(path)
    found = {}
    exec(main_code.of_parent((kind, code)), found)
    assert found["value"] == 3
    # Another interpreter compiles it itself.
    assert main_code.of_parent(((b"other", 0), code)) is None
    assert main_code.of_parent(None) is None
    (tmp_path / "script.py").write_text("this is no program")
    assert main_code.for_child(path) is None
    assert main_code.for_child(path) is None


COMPILED = """
import sys
import procession


def look():
    print(__file__ in sys.compiled, flush=True)


if __name__ == "__main__":
    for _ in range(3):
        child = procession.get_context("spawn").Process(target=look)
        child.start()
        child.join()
"""


def test_spawned_children_compile_no_main_module_that_came_compiled(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(COMPILED)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.compiled = []\n"
        "sys.addaudithook(lambda event, args: event == 'compile' and sys.compiled.append(args[1]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    done = run(str(tmp_path / "script.py"))
    assert done.stdout.split() == ["True", "False", "False"], done.stderr


def test_a_module(program, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__init__.py").touch()
    (tmp_path / "package/module.py").write_text("from . import __name__ as relative\n" + program)
    check(run("-m", "package.module", cwd=tmp_path))


@pytest.mark.parametrize("how", ["command", "stdin"])
def test_functions_of_a_program_without_a_file_travel_by_value(program, how):
    check(run("-c", program) if how == "command" else run("-", stdin=program))


def test_functions_of_a_zip_travel_by_value(program, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.writestr("__main__.py", program)
    check(run("program.zip", cwd=tmp_path))


def test_a_class_defined_under_the_guard_of_a_command_travels_by_value():
    program = """
import procession
class Adder:
    def __init__(self, by): self.by = by
    def __call__(self, number): print(number + self.by, type(self).__name__, flush=True)
if __name__ == "__main__":
    process = procession.Process(target=Adder(2), args=(7,)); process.start(); process.join()
"""
    result = run("-c", program)
    assert (result.stdout, result.stderr) == ("9 Adder\n", "")


COMING_BACK = """
import procession

class Point:
    def __init__(self, x): self.x = x

class Refusal(Exception): pass

def make(x):
    if x < 0:
        raise Refusal(x)
    return Point(x)

def put(queue):
    queue.put(Point(3))

if __name__ == "__main__":
    context = procession.get_context(METHOD)
    with context.Pool(2) as pool:
        point = pool.apply(make, (2,))
        print(type(point) is Point, point.x)
        try:
            pool.map(make, [1, -1])
        except Refusal as refusal:
            print(refusal)
    queue = context.SimpleQueue()
    process = context.Process(target=put, args=(queue,))
    process.start()
    point = queue.get()
    print(type(point) is Point, point.x)
    process.join()
"""


@pytest.mark.parametrize("how", ["script", "module", "run by runpy", "run by procession"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_objects_of_classes_of_the_main_module_come_back_from_children(how, method, tmp_path):
    (tmp_path / "script.py").write_text(COMING_BACK.replace("METHOD", repr(method)))
    again = "import procession, runpy; runpy.run_path('script.py', run_name='__main__')"
    command = {
        "script": ["script.py"],
        "module": ["-m", "script"],
        "run by runpy": ["-c", again],
        "run by procession": ["-m", "procession", "script.py"],
    }[how]
    result = run(*command, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("True 2\n-1\nTrue 3\n", "")


UNGUARDED = """
import procession
procession.set_start_method(METHOD)
process = procession.Process(target=print, args=("never",))
process.start()
process.join()
raise SystemExit(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_program_without_a_guard_is_told_so_and_starts_no_more(method, tmp_path):
    (tmp_path / "script.py").write_text(UNGUARDED.replace("METHOD", repr(method)))
    result = run("script.py", cwd=tmp_path)
    assert result.returncode == 1 and result.stdout == ""
    assert "RuntimeError" in result.stderr and "if __name__ == '__main__':" in result.stderr


FAILING = """
import procession
if __name__ != "__main__":
    raise ValueError("not to be imported")
process = procession.get_context(METHOD).Process(target=print)
process.start()
process.join()
print(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_main_module_that_cannot_be_imported_fails_the_child(method, tmp_path):
    (tmp_path / "script.py").write_text(FAILING.replace("METHOD", repr(method)))
    result = run("script.py", cwd=tmp_path)
    assert result.stdout == "1\n"
    assert result.stderr.count("ValueError: not to be imported") == 1


WITH_THREAD = """
import threading
import procession

if __name__ != "__main__":
    threading.Thread(target=threading.Event().wait, name="worrying", daemon=True).start()

def tell(text):
    print(text, flush=True)

if __name__ == "__main__":
    context = procession.get_context("forkserver")
    for number in range(2):
        process = context.Process(target=tell, args=(number,))
        process.start()
        process.join()
"""


def test_a_main_module_that_starts_threads_is_not_preloaded(tmp_path):
    (tmp_path / "script.py").write_text(WITH_THREAD)
    result = run("script.py", cwd=tmp_path)
    assert result.stdout == "0\n1\n"
    assert result.stderr.count("worrying") == 1


COUNTED = """
import os, sys, procession
os.write(1, b"imported by %d\\n" % os.getpid())
def tell():
    print(os.getppid(), flush=True)
if __name__ == "__main__":
    for number in range(3):
        process = procession.get_context("forkserver").Process(target=tell)
        process.start()
        process.join()
"""


def test_the_forkserver_imports_the_main_module_once(tmp_path):
    (tmp_path / "script.py").write_text(COUNTED)
    lines = run("script.py", cwd=tmp_path).stdout.split("\n")
    assert len([line for line in lines if line.startswith("imported")]) == 2
    assert len(set(lines[2:5])) == 1


INTERRUPTED = """
import procession, time, sys
def stay():
    print("ready", flush=True)
    while True:
        time.sleep(60)
if __name__ == "__main__":
    procession.set_start_method(METHOD)
    process = procession.Process(target=stay, DAEMON)
    process.start()
    LAST
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("last", ["process.join()", "sys.stdin.read()"])
def test_ctrl_c_ends_a_program_and_its_children(method, last, tmp_path):
    import os
    import signal

    text = INTERRUPTED.replace("METHOD", repr(method)).replace("DAEMON", "daemon=True").replace("LAST", last)
    with begun(tmp_path, text, "ready\n", stdin=subprocess.PIPE) as program:
        os.killpg(program.pid, signal.SIGINT)
        program.wait(LIMIT)
        assert program.returncode == -signal.SIGINT
        until = time.monotonic() + LIMIT
        with pytest.raises(ProcessLookupError):
            # Children end by themselves when their parent has ended, which it does not wait for.
            while time.monotonic() < until:
                os.killpg(program.pid, 0)
                time.sleep(0.01)


IMPORTING = """
import procession, time
if __name__ != "__main__":
    print("importing", flush=True)
    time.sleep(3600)
if __name__ == "__main__":
    with procession.get_context("spawn").Pool(1) as pool:
        pool.map(abs, range(3))
"""


def test_ctrl_c_while_workers_start_prints_one_traceback(tmp_path):
    check_ended_by_ctrl_c(tmp_path, IMPORTING, "importing\n", LIMIT)


STUBBORN = """
import procession, signal, time, sys
def stay():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        time.sleep(60)
if __name__ == "__main__":
    procession.util.TERMINATE_GRACE_SECONDS = 0.2
    process = procession.get_context(METHOD).Process(target=stay, daemon=True)
    process.start()
    sys.stdin.readline()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_daemon_that_ignores_sigterm_does_not_hang_the_exit(method, tmp_path):
    (tmp_path / "script.py").write_text(STUBBORN.replace("METHOD", repr(method)))
    program = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout.readline() == "ready\n"
        program.stdin.write("\n")
        program.stdin.close()
        assert program.wait(LIMIT) == 0


JOINED = """
import os, procession
if __name__ == "__main__":
    for _ in range(2):
        procession.get_context(METHOD).Process(target=os.write, args=(1, b"child ends\\n")).start()
    os.write(1, b"main ends\\n")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_exit_waits_for_children_that_are_no_daemons(method, tmp_path):
    (tmp_path / "script.py").write_text(JOINED.replace("METHOD", repr(method)))
    result = run("script.py", cwd=tmp_path)
    assert sorted(result.stdout.split("\n")) == ["", "child ends", "child ends", "main ends"]


PRELOADED = """
import procession
def tell():
    print("told", flush=True)
if __name__ == "__main__":
    context = procession.get_context("forkserver")
    context.set_forkserver_preload(["no_such_module_here"], on_error=ON_ERROR)
    process = context.Process(target=tell)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("on_error", ["ignore", "warn", "fail"])
def test_a_module_that_cannot_be_preloaded_does_what_was_asked_for(tmp_path, on_error):
    (tmp_path / "script.py").write_text(PRELOADED.replace("ON_ERROR", repr(on_error)))
    result = run("script.py", cwd=tmp_path)
    assert result.stdout == ("" if on_error == "fail" else "told\n")
    assert ("ImportWarning" in result.stderr) == (on_error == "warn")
    assert ("ModuleNotFoundError" in result.stderr) == (on_error != "ignore")
    assert ("EOFError: the forkserver ended" in result.stderr) == (on_error == "fail")


def test_what_an_error_of_preloading_does_is_one_of_three():
    import procession

    with pytest.raises(ValueError, match="'ignore', 'warn' or 'fail'"):
        procession.set_forkserver_preload(["math"], on_error="shout")
