"""Few descriptors: pools that need more of them than the usual limit, and the lowest limits that there are."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import procession
import pytest

PROGRAM = Path(__file__).parent / "programs/few_descriptors/every_worker.py"
LIMIT = 100
METHODS = pytest.mark.parametrize("method", procession.get_all_start_methods())
WITHOUT_PROC = """
import os
listdir = os.listdir
def without_proc(path="."):
    if str(path).startswith("/proc"):
        raise FileNotFoundError(path)
    return listdir(path)
os.listdir = without_proc
"""


def run(method, workers, soft, hard, **options):
    """Run the program under limits of descriptors."""
    command = [sys.executable, str(PROGRAM), method, str(workers)]
    limits = (resource.RLIMIT_NOFILE, (soft, hard))
    return subprocess.run(
        command,
        preexec_fn=lambda: resource.setrlimit(*limits),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        **options,
    )


@METHODS
def test_a_pool_that_needs_more_descriptors_than_usual_is_allowed_them(method):
    done = run(method, 16, 64, 1024)
    assert (done.stdout, done.stderr, done.returncode) == ("all work\n", "", 0)


@METHODS
def test_a_pool_works_under_the_lowest_limits(method):
    done = run(method, 2, 64, 64)
    assert (done.stdout, done.stderr, done.returncode) == ("all work\n", "", 0)


@METHODS
def test_a_pool_of_32_works_where_nobody_may_have_more_than_128_descriptors(method):
    done = run(method, 32, 128, 128)
    assert (done.stdout, done.stderr, done.returncode) == ("all work\n", "", 0)


def test_a_pool_of_256_works_under_the_usual_limit():
    done = run("forkserver", 256, 1024, 1024)  # by each, 32 under 128 are as many for each descriptor
    assert (done.stdout, done.stderr, done.returncode) == ("all work\n", "", 0)


# What one more of each kind costs the process that makes it: descriptors, and at most so many MiB of address space. The
# table in docs/sandboxes.md has the same numbers.
COSTS = {
    "Process": (1, 1),
    "Pool(1)": (8, 72),
    "Pool(2)": (10, 104),
    "Queue": (1, 16 << 10),
    "JoinableQueue": (1, 16 << 10),
    "SimpleQueue": (2, 16 << 10),
    "Pipe": (2, 0),
    "Listener": (1, 0),
    "SharedMemory": (2, 1),
    "Manager": (2, 1),
}


@METHODS
def test_each_kind_of_object_costs_what_is_said(method):
    command = [sys.executable, str(PROGRAM.with_name("costs.py")), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = dict(line.split(": ") for line in done.stdout.splitlines())
    assert told.keys() >= COSTS.keys() | {"Lock", "Event", "Barrier", "Value", "RawArray", "proxy"}
    for name, line in told.items():
        descriptors, address_space, threads, left = map(float, line.split())
        wanted, most = COSTS.get(name, (0, 0))  # locks and values lie in memory that they have in common
        assert (descriptors, threads, left) == (wanted, 0, 0), (name, line)
        assert address_space / 1024 <= most + 0.5, (name, line)


@METHODS
def test_many_pools_at_once_cost_what_each_does_and_leave_nothing(method):
    command = [sys.executable, str(PROGRAM.with_name("many_pools.py")), method, "12"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    assert lines[1].startswith("each: 10 descriptors, 0 threads"), done.stdout
    assert lines[-1] == "left: 0 descriptors, 0 threads, 0 processes", done.stdout


@METHODS
def test_a_worker_costs_its_parent_two_descriptors(method):
    ctx = procession.get_context(method)
    counts = []
    for workers in (1, 5):
        with ctx.Pool(workers) as pool:
            pool.map(abs, range(100))
            counts.append(len(os.listdir("/proc/self/fd")))
        pool.join()
    assert counts[1] - counts[0] == 4 * 2


@METHODS
def test_too_few_descriptors_for_a_pool_are_an_error_that_names_limit_and_need(method):
    done = run(method, 40, 64, 64)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("OSError: [Errno 24] 40 workers need some 1") and " of 64 (ulimit -Hn)" in last


def test_the_forkserver_begins_where_no_descriptors_are_listed(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_PROC)
    done = run("forkserver", 2, 1024, 1024, env={"PYTHONPATH": str(tmp_path)})
    assert (done.stdout, done.stderr, done.returncode) == ("all work\n", "", 0)


@METHODS
def test_where_no_descriptor_is_left_each_call_works_or_says_so(method):
    command = [sys.executable, str(PROGRAM.with_name("none_left.py")), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    told = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines())
    for name in ("map", "apply", "large argument", "large result", "threads", "queue"):
        assert (told[f"parent, {name}"], told[f"worker, {name}"]) == ("ok", "ok"), name
    for name, kinds in (("fail", {"ValueError"}), ("unsendable", {"TypeError"}), ("lambda", {"ok", "EMFILE"})):
        assert {told[f"parent, {name}"], told[f"worker, {name}"]} <= kinds, name
    assert (told["parent, process"], told["worker, process"]) == ("EMFILE", "ok")
    assert (done.stderr, done.returncode) == ("", 0)


@METHODS
def test_nothing_takes_the_numbers_of_standard_streams_that_are_closed(method, tmp_path):
    command = [sys.executable, str(PROGRAM.with_name("closed_streams.py")), method, str(tmp_path / "told")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, (tmp_path / "told").read_text()) == (0, str([{}] * 5))


@METHODS
def test_where_the_server_of_a_manager_has_no_descriptor_left_each_client_is_told(method):
    command = [sys.executable, "-W", "ignore", str(PROGRAM.with_name("manager.py")), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    for name in ("call", "object", "lock", "queue", "another"):
        assert told[name].startswith("OSError: [Errno 24] the other side has no descriptor left"), (told, done.stderr)
    assert told["child"] == "ChildProcessError: exit code 1"
    for name in ("call", "object", "lock", "child", "another"):
        assert told[f"{name} again"] == "ok", told
    assert (told["queue again"].strip(), done.returncode) == ("Empty:", 0)
