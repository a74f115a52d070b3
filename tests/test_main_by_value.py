"""Programs whose main module children cannot import (a command, a notebook): what it defines works as from a file."""

import os
import subprocess
import sys

import pytest

LIMIT_S = 60

PROGRAM = """
import enum
import threading

import procession

database = None
calls = 0
lock = threading.Lock()

class Color(enum.Enum):
    RED = 1

class Refusal(Exception):
    pass

class Point:
    made = 0

    def __init__(self, x):
        self.x = x

class Pixel(Point):
    color = Color.RED

def connect(name):
    global database
    database = name

def ask(x):
    global calls
    calls += 1
    return name_of(x), calls

def name_of(x):
    return f"{database}:{x}"

def move(point):
    Point.made += 1
    if point.x < 0:
        raise Refusal(point.x)
    return isinstance(point, Point), Pixel(point.x + 1), Color.RED

def under_lock(x):
    with lock:
        return x

def move_all(arriving, leaving):
    leaving.put(move(arriving.get()))

def same(answer, x):
    known, point, color = answer
    return known and type(point) is Pixel and color is point.color is Color.RED and point.x == x

if __name__ == "__main__":
    context = procession.get_context(METHOD)
    with context.Pool(1, connect, ("db",)) as pool:
        print(pool.map(ask, [1]), pool.apply(ask, (2,)))
        Point.made = 50
        print(same(pool.apply(move, (Point(1),)), 2), Point.made)
        try:
            pool.map(move, [Pixel(-1)])
        except Refusal as refusal:
            print(refusal, type(refusal) is Refusal)

        def name_of(x):
            return f"late:{x}"

        def late(x):
            return name_of(x)

        print(pool.map(late, [3]))
    arriving, leaving = context.SimpleQueue(), context.SimpleQueue()
    process = context.Process(target=move_all, args=(arriving, leaving))
    process.start()
    arriving.put(Pixel(6))
    print(same(leaving.get(), 7))
    process.join()
    if METHOD == "fork":
        with context.Pool(1) as pool:
            print(pool.map(under_lock, [1]))
"""

OUTPUT = """\
[('db:1', 1)] ('db:2', 2)
True 50
-1 True
['late:3']
True
"""


def from_pipe(text, folder):
    """Return a command that reads a program from a pipe, as `python <(...)` in a shell does, and the pipe's end."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    return [sys.executable, f"/dev/fd/{reader}"], reader


def from_removed(text, folder):
    """Return a command that runs a file which removes itself, as that of some job runners is gone once it runs."""
    path = folder / "program.py"
    path.write_text("import os\n\nos.remove(__file__)\n" + text)
    return [sys.executable, str(path)], None


WAYS = {
    "command": lambda text, folder: ([sys.executable, "-c", text], None),
    "stdin": lambda text, folder: ([sys.executable, "-"], None),
    "pipe": from_pipe,
    "removed": from_removed,
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_names_of_a_main_module_that_children_cannot_import(method, how, tmp_path):
    text = PROGRAM.replace("METHOD", repr(method))
    command, end = WAYS[how](text, tmp_path)
    passed = () if end is None else (end,)
    given = text if how == "stdin" else None
    result = subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=LIMIT_S, pass_fds=passed, cwd=tmp_path
    )
    for number in passed:
        os.close(number)
    expected = OUTPUT + ("[1]\n" if method == "fork" else "")
    assert (result.returncode, result.stdout, result.stderr) == (0, expected, "")
