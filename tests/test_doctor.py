"""`procession doctor`: each check finds its fault in a made machine or program, and nothing where nothing is wrong."""

import ast
import json
import os
import re
import resource
import subprocess
import sys
import types
from pathlib import Path

import pytest
from procession.cli.doctor import command, finding, libraries, machine, program, python
from procession.cli.doctor.finding import FAILS, HURTS, KNOW, Finding, Surroundings
from procession.cli.doctor.source import ProgramText
from test_docs import BLOCK

ROOT = Path(__file__).parent.parent


def place(tmp_path, files=(), **given):
    """A machine with these files, `proc/...` and `sys/...`, and no limits."""
    for name, text in dict(files).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    given.setdefault("environ", {})
    given.setdefault("cpus", 8)
    given.setdefault("limits", lambda which: 0 if which == resource.RLIMIT_CORE else -1)
    given.setdefault("answers", lambda name: True)
    return Surroundings(proc=str(tmp_path / "proc"), sys=str(tmp_path / "sys"), shm=str(tmp_path), **given)


def named(check, where):
    """The names and levels of what a check finds."""
    return [(one.name, one.level) for one in check(where)]


GROUP = {"proc/self/cgroup": "0::/job\n"}
# A check, its level, what the machine has for it to find something, and for it to find nothing.
MACHINES = [
    (
        machine.cpu_quota,
        HURTS,
        {"sys/fs/cgroup/job/cpu.max": "200000 100000"},
        {"sys/fs/cgroup/job/cpu.max": "max 100000"},
    ),
    (
        machine.cpu_throttled,
        HURTS,
        {"sys/fs/cgroup/job/cpu.stat": "nr_periods 100\nnr_throttled 31\n"},
        {"sys/fs/cgroup/job/cpu.stat": "nr_periods 100\nnr_throttled 1\n"},
    ),
    (
        machine.cpu_pressure,
        HURTS,
        {"proc/pressure/cpu": "some avg10=1.00 avg60=98.00 avg300=1.00 total=1\n"},
        {"proc/pressure/cpu": "some avg10=99.00 avg60=3.00 avg300=1.00 total=1\n"},
    ),
    (
        machine.memory_limit,
        HURTS,
        {"sys/fs/cgroup/job/memory.max": "4294967296", "sys/fs/cgroup/job/memory.events": "low 0\noom_kill 3\n"},
        {"sys/fs/cgroup/job/memory.max": "max", "sys/fs/cgroup/job/memory.events": "low 0\noom_kill 0\n"},
    ),
    (
        machine.memory_limit,
        HURTS,
        {"sys/fs/cgroup/job/memory.max": "536870912"},
        {"sys/fs/cgroup/job/memory.max": "68719476736"},
    ),
    (machine.oom_score, HURTS, {"proc/self/oom_score_adj": "-900"}, {"proc/self/oom_score_adj": "0"}),
    (machine.overcommit, HURTS, {"proc/sys/vm/overcommit_memory": "2"}, {"proc/sys/vm/overcommit_memory": "0"}),
    (
        machine.processes,
        HURTS,
        {"sys/fs/cgroup/job/pids.max": "100", "sys/fs/cgroup/job/pids.current": "93"},
        {"sys/fs/cgroup/job/pids.max": "max", "sys/fs/cgroup/job/pids.current": "93"},
    ),
    (
        machine.sandbox,
        KNOW,
        {"proc/version": "Linux version 4.4.0 gVisor"},
        {"proc/version": "Linux version 6.1 WSL2 Microsoft"},
    ),
    (machine.sandbox, KNOW, {"proc/version": "Linux version 4.4.0-Microsoft"}, {"proc/version": "Linux version 6.18"}),
]


@pytest.mark.parametrize("check, level, ill, well", MACHINES)
def test_a_check_of_the_machine_finds_its_fault_and_nothing_else(check, level, ill, well, tmp_path):
    ((_, found),) = named(check, place(tmp_path / "ill", {**GROUP, **ill}))
    assert found == level
    assert not named(check, place(tmp_path / "well", {**GROUP, **well}))
    assert not named(check, place(tmp_path / "nothing"))


def test_the_rights_of_debuggers(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert named(machine.ptrace, place(tmp_path, {"proc/sys/kernel/yama/ptrace_scope": "1"})) == [("ptrace", KNOW)]
    assert not named(machine.ptrace, place(tmp_path, {"proc/sys/kernel/yama/ptrace_scope": "0"}))


def test_a_variable_that_says_how_many_cpus_there_are_is_enough(tmp_path):
    files = {**GROUP, "sys/fs/cgroup/job/cpu.max": "200000 100000"}
    assert not named(machine.cpu_quota, place(tmp_path, files, environ={"PYTHON_CPU_COUNT": "2"}))


def test_limits_of_files_processes_and_core_dumps(tmp_path):
    low = place(tmp_path, limits=lambda which: 20)
    assert named(machine.open_files, low) == [("open-files", HURTS)]
    assert named(machine.processes, low) == [("processes", HURTS)]
    assert named(machine.core_dumps, low) == [("core-dumps", KNOW)]
    high = place(tmp_path)
    assert not [*machine.open_files(high), *machine.processes(high), *machine.core_dumps(high)]


def test_a_small_and_a_missing_shm(tmp_path, monkeypatch):
    sizes = types.SimpleNamespace(f_blocks=16384, f_frsize=4096, f_bavail=16384)
    monkeypatch.setattr("os.statvfs", lambda path: sizes)
    assert "64 MiB" in next(machine.shm_size(place(tmp_path))).text
    sizes.f_blocks = 1 << 22
    assert not named(machine.shm_size, place(tmp_path))
    monkeypatch.undo()
    missing = place(tmp_path)
    missing.shm = str(tmp_path / "none")
    assert "missing" in next(machine.shm_size(missing)).text


def test_a_folder_for_temporary_files_that_is_too_long_or_not_there(tmp_path):
    long = tmp_path / ("x" * 80)
    long.mkdir()
    assert named(machine.tmpdir, place(tmp_path, environ={"TMPDIR": str(long)})) == [("tmpdir", FAILS)]
    assert named(machine.tmpdir, place(tmp_path, environ={"TMPDIR": "/none"})) == [("tmpdir", FAILS)]
    assert not named(machine.tmpdir, place(tmp_path, environ={"TMPDIR": "/tmp"}))


def test_system_calls_that_are_refused(tmp_path):
    refused = place(tmp_path, answers=lambda name: name != "epoll_create1")
    assert named(machine.refused_calls, refused) == [("refused-calls", FAILS)]
    assert not named(machine.refused_calls, place(tmp_path))
    assert not named(machine.refused_calls, place(tmp_path, answers=None))  # the kernel that this test runs on


def test_a_slow_clock(tmp_path, monkeypatch):
    where = {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n"}
    ticks = iter(range(0, 10**12, 10**6))
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(ticks))
    assert named(machine.clock, place(tmp_path, where)) == [("clock", HURTS)]
    assert not named(machine.clock, place(tmp_path / "other"))


def test_control_groups_that_are_not_delegated(tmp_path):
    assert named(machine.memory_groups, place(tmp_path)) == [("memory-groups", KNOW)]


def interpreter(**modules):
    return {"sys": types.SimpleNamespace(executable=sys.executable), **modules}


def test_interpreters_without_system_calls_or_a_program_of_their_own(tmp_path):
    bare = place(tmp_path, modules=interpreter(os=types.SimpleNamespace()))
    assert "os.pidfd_open" in next(python.built_without(bare)).text
    assert not named(python.executable, bare)
    lost = place(tmp_path, modules={"sys": types.SimpleNamespace(executable="")})
    assert named(python.executable, lost) == [("executable", FAILS)]
    assert not named(python.sem_open, place(tmp_path))
    assert not named(python.free_threaded, place(tmp_path))


def test_an_interpreter_without_semaphores(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "_multiprocessing", types.SimpleNamespace())
    assert named(python.sem_open, place(tmp_path)) == [("sem-open", HURTS)]


def test_coverage_that_does_not_follow_children(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.coverage.run]\nbranch = true\n")
    here = place(tmp_path, environ={"PWD": str(tmp_path)})
    assert named(python.coverage, here) == [("coverage", HURTS)]
    (tmp_path / "pyproject.toml").write_text('[tool.coverage.run]\nconcurrency = ["multiprocessing"]\n')
    assert not named(python.coverage, here)


def test_threads_of_numerical_libraries(tmp_path):
    assert named(libraries.math_threads, place(tmp_path, environ={"OMP_NUM_THREADS": "4"})) == [("math-threads", HURTS)]
    assert not named(libraries.math_threads, place(tmp_path, environ={"OMP_NUM_THREADS": "1"}))


@pytest.mark.parametrize(
    "found, said", [("2.39.1", True), ("2.40", False), ("2.99rc1", False), ("3.0", True), (None, False)]
)
def test_versions_of_libraries_that_were_not_tried(found, said, tmp_path):
    needs = ['ray<3,>=2.40; extra == "ray"', "cloudpickle>=3", 'odd[x]>1 ; extra == "odd"']
    here = place(tmp_path, required=needs, version=lambda name: found if name == "ray" else "1.0")
    assert named(libraries.versions, here) == [("versions", KNOW)] * said


# A check, its level, a program that it finds something in, and one that is right.
FORK = "import procession\n"
PROGRAMS = [
    (
        program.main_guard,
        FAILS,
        "from multiprocessing import Pool\nwith Pool() as pool:\n    pool.map(abs, [1])\n",
        "from multiprocessing import Pool\nif __name__ == '__main__':\n    with Pool() as pool:\n        "
        "pool.map(abs, [1])\n",
    ),
    (
        program.main_guard,
        FAILS,
        "import procession as mp\np = mp.get_context('spawn').Process(target=print)\np.start()\n",
        "from multiprocessing.dummy import Pool\npool = Pool(2)\n",
    ),
    (
        program.main_guard,
        FAILS,
        "import multiprocessing\nctx = multiprocessing.get_context('spawn')\nmanager = ctx.Manager()\n",
        "import multiprocessing\ndef main():\n    multiprocessing.Manager()\n",
    ),
    (
        program.guarded_global,
        FAILS,
        "import procession\ndef work(x):\n    return TABLE[x]\nif __name__ == '__main__':\n    TABLE = {}\n"
        "    with procession.Pool() as pool:\n        pool.map(work, [1])\n",
        "import procession\nTABLE = {}\ndef work(x):\n    TABLE = {}\n    return TABLE[x]\nif __name__ == '__main__':\n"
        "    TABLE = {1: 2}\n    with procession.Pool() as pool:\n        pool.map(work, [1])\n",
    ),
    (
        program.guarded_global,
        FAILS,
        "import procession\nfrom functools import partial\ndef deep():\n    return SIZE\ndef work(x, y):\n    "
        "return deep()\n"
        "if __name__ == '__main__':\n    SIZE = 3\n    procession.Pool().imap(partial(work, 1), [1])\n",
        "import procession\ndef work(x):\n    return x\nif __name__ == '__main__':\n    SIZE = 3\n    "
        "procession.Pool().map(work, [SIZE])\n",
    ),
    (
        program.module_generator,
        HURTS,
        "import numpy as np\nrng = np.random.default_rng(1)\ndef work(x):\n    return rng.random()\n"
        "pool.map(work, [1])\n",
        "import numpy as np\ndef work(x):\n    return np.random.default_rng([1, x]).random()\npool.map(work, [1])\n",
    ),
    (
        program.fork,
        KNOW,
        "import multiprocessing\nmultiprocessing.set_start_method('fork')\n",
        "import multiprocessing\n",
    ),
    (
        program.fork,
        HURTS,
        "import multiprocessing, threading\nmultiprocessing.set_start_method('fork')\n",
        "import multiprocessing\nmultiprocessing.set_start_method('spawn')\n",
    ),
    (
        program.cpu_count,
        KNOW,
        "import os\nfrom procession import Pool\ndef main():\n    Pool(os.cpu_count() - 1)\n",
        "from procession import Pool\ndef main():\n    Pool()\n",
    ),
    (
        program.lost_results,
        HURTS,
        "from procession import Pool\ndef main():\n    with Pool() as pool:\n        pool.apply_async(print)\n",
        "from procession import Pool\ndef main():\n    with Pool() as pool:\n        pool.apply_async(print).get()\n",
    ),
    (
        program.pool_in_loop,
        KNOW,
        "from procession import Pool\ndef one():\n    with Pool() as pool:\n        pool.map(abs, [1])\nfor _ in "
        "range(9):\n    one()\n",
        "from procession import Pool\ndef one(pool):\n    pool.map(abs, [1])\nwith Pool() as pool:\n    for _ in "
        "range(9):\n        one(pool)\n",
    ),
    (
        libraries.gevent,
        HURTS,
        "from gevent import monkey\nmonkey.patch_all()\n",
        "if __name__ == '__main__':\n    from gevent import monkey\n    monkey.patch_all()\n",
    ),
    (
        libraries.polars_fork,
        HURTS,
        "import polars\nimport multiprocessing\nmultiprocessing.set_start_method('fork')\n",
        "import polars\nimport multiprocessing\n",
    ),
    (
        libraries.jax_fork,
        HURTS,
        "import jax.numpy\nimport multiprocessing\nmultiprocessing.get_context('fork')\n",
        "import jax.numpy\nimport multiprocessing\n",
    ),
    (
        libraries.grpc_fork,
        KNOW,
        "import grpc\nimport multiprocessing\nmultiprocessing.get_context('fork')\n",
        "import grpc\n",
    ),
    (
        libraries.openmp_fork,
        HURTS,
        "from sklearn import svm\nimport multiprocessing\nmultiprocessing.get_context('fork')\n",
        "from sklearn import svm\n",
    ),
    (
        libraries.cuda_fork,
        HURTS,
        "import torch, multiprocessing\nmodel = torch.nn.Linear(1, 1).to('cuda')\n"
        "multiprocessing.set_start_method('fork')\n",
        "import torch, multiprocessing\ndef work():\n    torch.zeros(1).cuda()\n"
        "multiprocessing.set_start_method('fork')\n"
        "print(torch.cuda.is_available())\n",
    ),
    (
        python.hash_seed,
        KNOW,
        "import procession\ndef bucket(text):\n    return hash(text) % 8\nprocession.set_start_method('spawn')\n",
        "def bucket(text):\n    return len(text) % 8\n",
    ),
]


@pytest.mark.parametrize("check, level, ill, well", PROGRAMS)
def test_a_check_of_programs_finds_its_fault_and_nothing_else(check, level, ill, well, tmp_path):
    def found(text):
        return list(check(place(tmp_path, programs=(ProgramText("program.py", ast.parse(text)),))))

    one = found(ill)[0]
    assert one.level == level and re.fullmatch(r"program.py:\d+", one.where)
    assert not found(well)


def test_functions_that_all_call_each_other_are_read_once_each():
    names = [f"work_{number}" for number in range(25)]
    text = "".join(f"def {name}(x):\n    return LATE + {'(x) + '.join(names)}(x)\n" for name in names)
    source = ProgramText("program.py", ast.parse(text))
    assert [variable for variable, _ in source.reads(names[0])].count("LATE") == len(names)


def test_every_check_is_tried_here():
    command.examine(Surroundings(programs=()), ())
    tried = {check for check, *_ in (*MACHINES, *PROGRAMS)}
    text = Path(__file__).read_text()
    for name, function in finding.checks_of(command.ROOMS):
        assert function in tried or f".{function.__name__}" in text, name


def test_a_check_that_fails_says_so_and_is_no_traceback(monkeypatch):
    def broken(where):
        raise PermissionError("no")

    monkeypatch.setattr(command, "checks_of", lambda rooms: [("one", broken)])
    found, fine, failed = command.examine(Surroundings(), ())
    assert (found, fine, failed) == ([], [], {"one": "PermissionError: no"})
    assert "not checked: one: PermissionError: no" in command.report(found, fine, failed, 80, True)


FINDINGS = [
    Finding(
        FAILS,
        "guarded-global",
        "work() reads TABLE, which is set under the guard (line 11): workers do not have it.",
        "partial()",
        "a.py:3",
    ),
    Finding(
        HURTS,
        "math-threads",
        "OMP_NUM_THREADS=4 is set, so procession leaves it: 2 workers will run 8 threads on 2 CPUs.",
        "unset it",
    ),
]
AT_80 = """\
✗ guarded-global   a.py:3  work() reads TABLE, which is set under the guard
                   (line 11): workers do not have it.
                   → partial()
! math-threads     OMP_NUM_THREADS=4 is set, so procession leaves it: 2 workers
                   will run 8 threads on 2 CPUs.
                   → unset it

1 will fail, 1 will hurt, 0 to know; 2 are fine (-v shows them)."""
AT_120 = """\
✗ guarded-global   a.py:3  work() reads TABLE, which is set under the guard (line 11): workers do not have it.
                   → partial()
! math-threads     OMP_NUM_THREADS=4 is set, so procession leaves it: 2 workers will run 8 threads on 2 CPUs.
                   → unset it

1 will fail, 1 will hurt, 0 to know; 2 are fine (-v shows them)."""


@pytest.mark.parametrize("width, text", [(80, AT_80), (120, AT_120)])
def test_the_report_fits_its_terminal(width, text):
    assert command.report(FINDINGS, ["one", "two"], {}, width) == text


def run(*arguments, **variables):
    code = "import sys; from procession.cli import main; main(['doctor', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    # A long one fails by itself.
    environment = {**os.environ, "TMPDIR": "/tmp", **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_the_command_tells_by_its_exit_code(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from procession import Pool\npool = Pool()\n")
    good = tmp_path / "good.py"
    good.write_text("from procession import Pool\nif __name__ == '__main__':\n    pool = Pool()\n")
    told = run(bad)
    assert told.returncode == 1 and f"{bad}:2" in re.sub(r"\s+", " ", told.stdout) and not told.stderr
    assert run(good).returncode == 0
    document = json.loads(run(bad, "--json").stdout)
    (fault,) = [one for one in document["findings"] if one["level"] == "fails"]
    assert set(fault) == {"level", "name", "text", "fix", "where"} and fault["name"] == "main-guard"
    assert set(document) == {"findings", "fine", "not_checked"} and document["not_checked"] == {}


def test_strict_counts_what_hurts(tmp_path):
    text = "from procession import Pool\ndef main():\n    with Pool() as pool:\n        pool.apply_async(print)\n"
    (tmp_path / "p.py").write_text(text)
    assert (run(tmp_path / "p.py").returncode, run("--strict", tmp_path / "p.py").returncode) == (0, 1)


def test_a_file_that_cannot_be_read_or_is_no_python_is_no_traceback(tmp_path):
    (tmp_path / "broken.py").write_text("def (\n")
    for path in (tmp_path / "broken.py", tmp_path / "none.py"):
        told = run(path)
        assert told.returncode == 2 and str(path) in told.stderr and "Traceback" not in told.stderr


def test_an_output_that_knows_few_characters_gets_others(tmp_path):
    (tmp_path / "p.py").write_text("from procession import Pool\npool = Pool()\n")
    told = run(tmp_path / "p.py", PYTHONIOENCODING="ascii")
    assert told.returncode == 1 and "x main-guard" in told.stdout and told.stdout.isascii()


def documented_programs():
    yield from sorted((ROOT / "examples").glob("*.py"))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for number, text in enumerate(block["code"] for block in BLOCK.finditer(page.read_text())):
            if "__main__" in text:
                yield pytest.param((page.name, text), id=f"{page.name}-{number}")


@pytest.mark.parametrize("source", list(documented_programs()), ids=lambda one: getattr(one, "name", None))
def test_our_own_programs_are_healthy(source):
    text = source.read_text() if isinstance(source, Path) else source[1]
    here = Surroundings(programs=(ProgramText("program.py", ast.parse(text)),))
    found, _, failed = command.examine(here, ("libraries", "program"))
    assert not failed and not [one for one in found if one.level == FAILS]
