"""Limits of memory that the kernel holds: a tree of plain files stands for its hierarchy of control groups."""

import os
import shutil
import signal
import subprocess
import sys

import procession
import pytest
from procession._pool import memory_groups
from procession.pool import OverMemory, WorkerDied
from tasks.limits import MB, RebuiltIn, die, group_with_limit, hoard_at_three, note_group, square, use_up_at_three
from tasks.outcomes import outcome

LIMIT_S = 60


@pytest.fixture
def base(tmp_path, monkeypatch):
    """The folder of a delegated group; this process is in one inside of it."""
    root, own = tmp_path / "hierarchy", tmp_path / "own"
    base = root / "service"
    (base / "main").mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    for name, text in (("controllers", "cpu memory\n"), ("subtree_control", "\n"), ("procs", ""), ("type", "domain\n")):
        (base / f"cgroup.{name}").write_text(text)
    own.write_text("0::/service/main\n")
    if os.geteuid() == 0:
        os.setxattr(base, "user.delegate", b"1")
    monkeypatch.setattr(memory_groups, "HIERARCHY", str(root))
    monkeypatch.setattr(memory_groups, "OWN_GROUPS", str(own))
    return base


def groups_in(base):
    return [name for name in os.listdir(base) if name.startswith("procession-")]


def test_each_worker_is_in_a_group_of_its_own_before_it_runs_code_of_the_user(context, base):
    with context.Pool(2, note_group, (RebuiltIn(base),), max_memory="2GB") as pool:
        pairs = set(pool.map(group_with_limit, range(100), chunksize=1))
        assert {limit for _, limit in pairs} == {"2000000000"}
        assert {name for name, _ in pairs} <= set(groups_in(base))
        assert all(name.startswith(f"procession-{os.getpid()}-") for name in groups_in(base))
        assert len(groups_in(base)) == 2 and (base / "cgroup.subtree_control").read_text() == "+memory"
        assert pool.stats().memory_limit == "cgroup"
    pool.join()
    assert groups_in(base) == []


def test_what_the_kernel_kills_for_its_memory_fails_as_what_the_pool_kills(context, base):
    with context.Pool(2, max_memory="2GB") as pool:
        results = [pool.apply_async(use_up_at_three, (base, x)) for x in range(8)]
        outcomes = [outcome(result) for result in results]
        error = outcomes.pop(3)
        assert outcomes == [0, 1, 2, 4, 5, 6, 7]
        assert type(error) is OverMemory
        assert (error.limit, error.peak, error.function) == (2_000_000_000, 2_000_003_456, "use_up_at_three")
        assert "2 GB" in str(error) and "use_up_at_three" in str(error) and "SIGKILL" in str(error)
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        assert len(groups_in(base)) == 2
    pool.join()
    assert groups_in(base) == []


def test_other_deaths_are_not_taken_for_it(context, base):
    with context.Pool(1, max_memory="2GB") as pool:
        assert type(outcome(pool.apply_async(die, (0,)))) is WorkerDied
    pool.join()
    assert groups_in(base) == []


def test_workers_are_weighed_all_the_same(context, base):
    with context.Pool(1, max_memory="200MB") as pool:
        error = outcome(pool.apply_async(hoard_at_three, (3,)))
        assert type(error) is OverMemory and error.peak > error.limit
    pool.join()


def test_a_killed_parent_leaves_groups_and_the_next_pool_removes_them(base):
    code = f"""
import os, signal
import procession
from procession._pool import memory_groups
memory_groups.HIERARCHY, memory_groups.OWN_GROUPS = {memory_groups.HIERARCHY!r}, {memory_groups.OWN_GROUPS!r}
if __name__ == "__main__":
    pool = procession.get_context("fork").Pool(2, max_memory="200MB")
    pool.map(abs, range(10))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=LIMIT_S).returncode == -signal.SIGKILL
    assert len(groups_in(base)) == 2
    with procession.Pool(1, max_memory="200MB") as pool:
        assert all(name.startswith(f"procession-{os.getpid()}-") for name in groups_in(base))
    pool.join()
    assert groups_in(base) == []


def no_memory(base):
    (base / "cgroup.controllers").write_text("cpu\n")


def not_given(base):
    (base / "cgroup.procs").write_text("1\n")


def version_1(base):
    (base.parent / "cgroup.controllers").unlink()


def gone(base):
    shutil.rmtree(base)
    base.mkdir()


@pytest.mark.parametrize("change", [no_memory, not_given, version_1, gone])
def test_without_such_a_group_workers_are_weighed_and_nothing_is_said(base, change, recwarn, capfd):
    change(base)
    with procession.Pool(1, max_memory=200 * MB) as pool:
        assert pool.stats().memory_limit == "sampled"
        assert type(outcome(pool.apply_async(hoard_at_three, (3,)))) is OverMemory
        assert groups_in(base) == []
    pool.join()
    assert not [one for one in recwarn if issubclass(one.category, procession.ProcessionWarning)]
    assert capfd.readouterr() == ("", "")


def test_without_a_limit_there_are_no_groups(base):
    with procession.Pool(1) as pool:
        assert pool.stats().memory_limit is None
        assert groups_in(base) == []
    pool.join()
