"""Coverage measures children here as it measures those of the standard library, whichever its settings."""

import os
import subprocess
import sys

import pytest

LIMIT_S = 100

WORK = """
import os


def initialize():
    global base
    base = 10


def task(number):
    if os.getpid() == 1:
        return 0
    total = base
    for step in range(number):
        total += step
    return total


def target(number):
    if number > 2:
        number *= 2
    else:
        number = 0


def ask():
    return os.getpid()


def hang(announce):
    announce.release()
    while True:
        pass
"""
PROGRAM = """
import sys
import {package} as multiprocessing
import work


class Manager(multiprocessing.managers.BaseManager):
    pass


Manager.register("ask", work.ask)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    process = context.Process(target=work.target, args=(3,))
    process.start()
    process.join()
    manager = Manager(ctx=context, shutdown_timeout=60)
    manager.start()
    manager.ask()
    manager.shutdown()
    pool = context.Pool(1, work.initialize)
    pool.map(work.task, range(4))
    {end}
"""
# Workers have as long to come to their end as they need on whatever machine.
PATIENT = "crew = sys.modules['procession._pool.crew']; crew.TOOLS_GRACE_S = crew.TERMINATE_GRACE_S = 60"
CLOSED, TERMINATED = "pool.close(); pool.join()", f"{PATIENT}; pool.terminate()"
BUSY = """
import sys
import procession
import work

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    with context.Pool(1, work.initialize) as pool:
        PATIENT
        for number in range(4):
            pool.apply(work.task, (number,))
        with context.Manager() as manager:
            announce = manager.Semaphore(0)
            result = pool.apply_async(work.hang, (announce,))
            announce.acquire()
""".replace("PATIENT", PATIENT)
# As `coverage combine` and `coverage report` do it, in one folder after the other.
REPORT = """
import io
import os
import sys
import coverage
for folder in sys.argv[1:]:
    os.chdir(folder)
    measured = coverage.Coverage()
    measured.combine()
    print(measured.report(include="work.py", file=io.StringIO()))
"""
SETTINGS = {
    "multiprocessing": "concurrency = multiprocessing",
    "threads, too": "concurrency = multiprocessing, thread",
    "with sigterm": "concurrency = multiprocessing\nsigterm = true",
    "subprocess": "patch = subprocess",
    "both": "concurrency = multiprocessing\npatch = subprocess",
}


def call(folder, *arguments):
    """Run Python in a folder, without what tells coverage of the tests themselves; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    called = [sys.executable, *arguments]
    done = subprocess.run(called, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def measured(tmp_path, *programs):
    """Return which percentage of `work.py` coverage has seen of each program, given as settings, text and command."""
    folders = [tmp_path / str(number) for number in range(len(programs))]
    for folder, (settings, program, command) in zip(folders, programs, strict=True):
        folder.mkdir()
        (folder / "work.py").write_text(WORK)
        (folder / "program.py").write_text(program)
        (folder / ".coveragerc").write_text(f"[run]\nsource = .\nparallel = True\nbranch = True\n{settings}\n")
        call(folder, *command)
    return [float(line) for line in call(tmp_path, "-c", REPORT, *folders).split()]


def run(*arguments):
    return "-m", "coverage", "run", *arguments


# By the other methods coverage starts in one way or the other: by its own wrapper of processes, or as a new program.
CELLS = [("fork", settings) for settings in SETTINGS]
CELLS += [(method, settings) for method in ("spawn", "forkserver") for settings in ("multiprocessing", "subprocess")]


@pytest.mark.parametrize("method, name", CELLS)
def test_children_are_measured_as_those_of_the_standard_library(tmp_path, method, name):
    settings = SETTINGS[name]
    theirs = PROGRAM.format(package="multiprocessing.managers, multiprocessing", end=CLOSED)
    theirs = theirs.replace(" as multiprocessing", "")
    command = run("program.py", method)
    programs = [PROGRAM.format(package="procession", end=CLOSED), theirs]
    ours, standard = measured(tmp_path, *((settings, program, command) for program in programs))
    if "concurrency" in settings:
        assert ours == standard
    else:  # which sees nothing of what is forked
        assert ours >= standard
    assert ours > 60


@pytest.mark.parametrize("method, command", [
    ("fork", run("program.py")),
    ("spawn", run("program.py")),
    ("forkserver", run("program.py")),
    ("forkserver", run("-m", "procession", "program.py")),
    ("spawn", ("-m", "procession", *run("program.py"))),
], ids=["fork", "spawn", "forkserver", "procession under coverage", "coverage under procession"])  # fmt: skip
def test_workers_that_are_terminated_idle_have_been_measured(tmp_path, method, command):
    package = "multiprocessing.managers, multiprocessing" if "procession" in command else "procession"
    program = PROGRAM.format(package=package, end=TERMINATED)
    if package != "procession":
        program = program.replace(" as multiprocessing", "")
    (seen,) = measured(tmp_path, (SETTINGS["multiprocessing"], program, (*command, method)))
    assert seen > 60


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """What coverage sees of a busy worker that it is not to heed."""
    program = SETTINGS["multiprocessing"], BUSY, run("program.py", "fork")
    return measured(tmp_path_factory.mktemp("without"), program)[0]


def test_a_busy_worker_is_measured_until_it_is_terminated_if_coverage_is_to_heed_that(tmp_path, context, without):
    (seen,) = measured(tmp_path, (SETTINGS["with sigterm"], BUSY, run("program.py", context.get_start_method())))
    assert seen > without


@pytest.fixture(scope="module")
def of_nothing(tmp_path_factory):
    """What coverage sees of a program that only imports."""
    program = SETTINGS["multiprocessing"], "import work\n", run("program.py")
    return measured(tmp_path_factory.mktemp("nothing"), program)[0]


def test_a_child_of_a_child_is_measured(tmp_path, context, of_nothing):
    program = """
import sys
import procession
import work


def middle(method):
    process = procession.get_context(method).Process(target=work.target, args=(3,))
    process.start()
    process.join()


if __name__ == "__main__":
    process = procession.get_context(sys.argv[1]).Process(target=middle, args=(sys.argv[1],))
    process.start()
    process.join()
"""
    (seen,) = measured(tmp_path, (SETTINGS["multiprocessing"], program, run("program.py", context._name)))
    assert seen > of_nothing
