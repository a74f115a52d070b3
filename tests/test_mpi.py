"""Pools on the ranks of an MPI job: started by a launcher, ended by it, and told clearly where something is amiss.

What every cluster has to do is in `test_clusters.py`, which runs here in a job's first rank.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from procession._testing.belongings import state_of

from tests.cluster_nodes import LIMIT_S, ROOT

pytest.importorskip("mpi4py")
LAUNCHER = Path(sys.executable).with_name("mpiexec")
RUNNER = ("-m", "procession.mpi")


def run(*words, ranks=3, runner=RUNNER, **environment):
    """Run a program in the first of some ranks; return what has become of it."""
    command = [LAUNCHER, "-n", str(ranks), sys.executable, *runner, *map(str, words)]
    if not ranks:
        command = command[3:]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * LIMIT_S, cwd=ROOT)


def test_the_ranks_of_a_job_do_what_a_pool_needs():
    chosen = "asked_of_one or begin_and_end and ends or arrives_as_it_was or worker_that_dies"
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_clusters.py", "-k", chosen, CLUSTERS="mpi")
    assert done.returncode == 0 and re.search(r"\n4 passed, \d+ deselected", done.stdout), done.stdout + done.stderr


HELPER = "def double(number):\n    return 2 * number\n"
PROGRAM = """
import os
import sys

import procession
from beside import double

def where(_):
    return os.environ.get("PMI_RANK")

class Own:
    def __init__(self, number):
        self.number = number

def known(own):
    return Own(own.number + 1)

if __name__ == "__main__":
    context = procession.get_context("mpi")
    with context.Pool(2) as pool:
        print(sum(pool.map(double, range(1000))), pool.map(known, [Own(41)])[0].number)
        print(set(pool.map(where, range(10), 1)), context.cpu_count() > 0, sys.argv[1:])
    sys.exit(3)
"""


@pytest.mark.parametrize("ranks", [3, 0])
def test_a_program_finds_its_modules_on_its_nodes_and_ends_as_it_says(ranks, tmp_path):
    """Workers are no ranks: one that uses MPI itself would be taken for the one that has started it."""
    (tmp_path / "beside.py").write_text(HELPER)
    (tmp_path / "program.py").write_text(PROGRAM)
    done = run(tmp_path / "program.py", "-x", "1", ranks=ranks, runner=RUNNER if ranks else ())
    assert done.stdout == "999000 42\n{None} True ['-x', '1']\n" and done.returncode == 3, done.stderr
    assert ("the MPI job has no rank but this one" in done.stderr) == (not ranks)


def test_the_program_of_the_page_runs_on_ranks(tmp_path):
    page = (ROOT / "docs/clusters.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0].replace('"dask"', '"mpi"')
    (tmp_path / "program.py").write_text(program)
    done = run(tmp_path / "program.py")
    assert done.stdout == "999000\n" and done.returncode == 0, done.stderr


def test_ranks_that_all_run_the_program_are_told_how_to_start_it(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.replace("from beside import double", HELPER))
    done = run(tmp_path / "program.py", ranks=2, runner=())
    assert done.returncode != 0 and done.stderr.count("mpiexec -n N python -m procession.mpi program.py") == 2
    done = run(ranks=0)
    assert done.returncode == 1 and "no program given" in done.stderr


LOST = """
import os
import signal

import procession

def parents(_):
    return os.getpid(), os.getppid()

def wait(number):
    import time
    time.sleep(600)

if __name__ == "__main__":
    import psutil
    with procession.get_context("mpi").Pool(2) as pool:
        found = {pid for pids in pool.map(parents, range(20), 1) for pid in pids}
        nodes = {psutil.Process(pid).ppid() for _, pid in pool.map(parents, range(2), 1)}
        pool.map_async(wait, range(4), 1)
        print(*found, *nodes, flush=True)
        os.kill(nodes.pop(), signal.SIGKILL)
        pool.apply(wait, (0,))
"""


def test_a_rank_that_is_killed_ends_the_job_and_nothing_is_left(tmp_path):
    """So say launchers, unless they are asked for something else."""
    (tmp_path / "program.py").write_text(LOST)
    done = run(tmp_path / "program.py")
    assert done.returncode != 0
    pids = [int(word) for word in done.stdout.splitlines()[0].split()]
    assert len(pids) >= 4
    until = time.monotonic() + LIMIT_S
    while any((state := state_of(pid)) and state[0] != "Z" for pid in pids):
        assert time.monotonic() < until, "workers of a lost job go on"
        time.sleep(0.05)


SHARED = """
from procession._cluster.mpi_ranks import shared_out

both, other = frozenset({0, 1, 2, 3}), frozenset({4, 5})
told = [(0, "a", both, 4), (0, "a", both, 4), (0, "a", both, 4), (3, "b", both, 4), (3, "b", other, 2)]
assert shared_out(told) == [(1, "a:1", 2), (2, "a:2", 2), (3, "b:3", 4), (4, "b:4", 2)]
assert shared_out([(0, "a", both, 4), (1, "b", both, 4)]) == [(0, "a:0", 4), (1, "b:1", 4)]
"""


def test_ranks_share_the_cpus_of_their_machine_and_that_of_the_program_works_where_it_is_alone():
    """In a process of its own, as MPI begins with its import."""
    done = run("-c", SHARED, ranks=0, runner=())
    assert done.returncode == 0, done.stderr
