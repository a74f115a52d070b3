"""A notebook whose cells make pools of what cells define, by each start method; run cell after cell in a kernel."""

import sys
import tempfile

import nbformat
from nbclient import NotebookClient
from pages import programs

FIRST = """
import os, signal, threading, time
from dataclasses import dataclass
import procession as multiprocessing

context = multiprocessing.get_context({method!r})
scale = 10

def scaled(number):
    return number * scale
"""
POOL = """
pool = context.Pool(2)
print(pool.map(scaled, range(5)))
"""
# A class and a function that are newer than the pool.
LATER = """
@dataclass
class Point:
    x: int
    y: int = 1

def moved(point):
    return Point(point.x + 1, point.y)

answers = pool.map(moved, [Point(1), Point(2)])
print(answers, all(isinstance(answer, Point) for answer in answers), pool.map(lambda point: point.x, answers))
"""
# What interrupts a cell in Jupyter is the signal that Ctrl-C sends.
INTERRUPTED = """
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    pool.map(time.sleep, [60, 60])
except KeyboardInterrupt:
    print("interrupted")
print(pool.map(scaled, [1, 2]))
"""
OUTPUT = """
def talk(number):
    print("task", number)

with context.Pool(1, capture_output=True) as talking:
    talking.map(talk, [1])
"""
CHILD = """
def send(queue):
    queue.put({"a": 1})

queue = context.Queue()
child = context.Process(target=send, args=(queue,))
child.start()
print(queue.get(timeout=60))
child.join()
print(child.exitcode)
"""
# While it runs the display is updated; the notebook that is saved has the last state.
DRAWN = """
pool.map(time.sleep, [0.1] * 12, progress=True)
"""
END = """
pool.terminate()
pool.join()
print(multiprocessing.active_children())
"""
CELLS = [
    (POOL, "[0, 10, 20, 30, 40]\n"),
    (LATER, "[Point(x=2, y=1), Point(x=3, y=1)] True [2, 3]\n"),
    (INTERRUPTED, "interrupted\n[10, 20]\n"),
    (OUTPUT, "task 1\n"),
    (CHILD, "{'a': 1}\n0\n"),
    (END, "[]\n"),
]


def cells_of(sources):
    """Run cells in a kernel; return them with their outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    with tempfile.TemporaryDirectory() as directory:
        resources = {"metadata": {"path": directory}}
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    return notebook.cells


def execute(sources):
    """Run cells in a kernel; return what each prints."""
    return [
        "".join(output.text for output in cell.outputs if output.get("name") == "stdout") for cell in cells_of(sources)
    ]


def draw():
    """Have a map drawn below its cell: one display, with the final counts."""
    cell = cells_of([FIRST.format(method="forkserver"), POOL, DRAWN, END])[2]
    (shown,) = [output.data["text/html"] for output in cell.outputs if output.output_type == "display_data"]
    assert "12/12" in shown and "<svg" in shown, shown
    print("notebook: draws how far maps are")


def run(method):
    """Run the notebook and compare what each cell prints."""
    printed = execute([FIRST.format(method=method), *(source for source, _ in CELLS)])[1:]
    for (source, expected), found in zip(CELLS, printed, strict=True):
        # Captured output names its worker and task before each line.
        alike = found == expected or source == OUTPUT and found.endswith(expected)
        assert alike, f"by {method} the cell\n{source}\nprinted\n{found}"


if __name__ == "__main__":
    ((page, prints),) = programs("notebooks.md")
    assert execute([page]) == [prints]
    draw()
    for method in sys.argv[1:] or ["fork", "spawn", "forkserver"]:
        run(method)
        print("notebook: runs by", method)
