"""What workers are given of their own, and how many of them there are."""

import ctypes
import os

import numpy
import procession
import pytest
from procession._children import math_threads
from procession._pool import cpus

LIMIT_S = 60


def tell(name):
    return os.environ.get(name)


def tell_all(_):
    return os.environ.get("PLACE"), os.nice(0), sorted(os.sched_getaffinity(0))


def oom_score(_):
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


def nested_size(_):
    with procession.get_context("fork").Pool() as pool:
        return pool._processes, pool.apply(tell, ("OMP_NUM_THREADS",))


def test_workers_have_the_settings_of_their_number(context, monkeypatch):
    monkeypatch.setenv("REMOVED", "yes")
    cpu = min(os.sched_getaffinity(0))
    options = {"env": lambda place: {"PLACE": f"number {place}", "REMOVED": None}, "nice": 2, "cpu_affinity": [cpu]}
    with context.Pool(2, max_tasks=1, **options) as pool:
        told = pool.map(tell_all, range(6), chunksize=1)
        assert pool.apply(tell, ("REMOVED",)) is None
    pool.join()
    assert {place for place, _, _ in told} <= {"number 0", "number 1"}
    assert {(nice, tuple(own)) for _, nice, own in told} == {(os.nice(0) + 2, (cpu,))}


def test_numerical_libraries_get_a_share_of_the_cpus_unless_the_user_says_so(context, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    with context.Pool(2, env={"OPENBLAS_NUM_THREADS": "5"}) as pool:
        share = str(max(1, cpus.usable() // 2))
        assert pool.map(tell, names) == [share, "7", "5"]
    pool.join()
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_library_that_is_loaded_already_is_told(monkeypatch):
    numbers = {"threads": 8}
    library = ("OPENBLAS_NUM_THREADS", lambda n: numbers.update(threads=n), lambda: numbers["threads"])
    monkeypatch.setattr(math_threads, "_loaded", lambda: [library])
    with math_threads.limited({b"OPENBLAS_NUM_THREADS": b"2"}):
        assert numbers["threads"] == 2
    assert numbers["threads"] == 8
    for few in (
        {},
        {b"OPENBLAS_NUM_THREADS": b"9"},
        {b"OPENBLAS_NUM_THREADS": b"many"},
        {b"OPENBLAS_NUM_THREADS": None},
    ):
        with math_threads.limited(few):
            assert numbers["threads"] == 8
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    math_threads.limit_loaded()
    assert numbers["threads"] == 1


def blas_and_own_threads(_):
    numpy.ones((200, 200)) @ numpy.ones((200, 200))
    return [get() for _, _, get in math_threads._loaded()], len(os.listdir("/proc/self/task"))


def test_a_worker_starts_no_threads_for_numbers_that_it_may_not_use(context):
    numpy.ones((200, 200)) @ numpy.ones((200, 200))
    before = [get() for _, _, get in math_threads._loaded()]
    assert before
    with context.Pool(cpus.usable()) as pool:
        for threads, tasks in pool.map(blas_and_own_threads, range(4)):
            assert threads == [1] * len(before)
            assert tasks == 2 or context.get_start_method() != "fork"  # its own and the lifeline's
    pool.join()
    assert [get() for _, _, get in math_threads._loaded()] == before


def limit_and_look(writer):
    def look():
        return [get() for _, _, get in math_threads._loaded()], len(os.listdir("/proc/self/task"))

    before = look()
    with math_threads.limited({b"OPENBLAS_NUM_THREADS": b"1"}):
        during = look()
    writer.send((before, during, look()))


def test_to_limit_a_library_that_has_no_threads_starts_none():
    libraries = [(put, get()) for _, put, get in math_threads._loaded()]
    assert libraries
    for put, _ in libraries:
        put(3)
    reader, writer = procession.Pipe(False)
    try:
        child = procession.get_context("fork").Process(target=limit_and_look, args=(writer,))
        child.start()
        before, during, after = reader.recv()
        child.join()
    finally:
        reader.close()
        writer.close()
        for put, number in libraries:
            put(number)
    assert before == after == ([3] * len(libraries), before[1])
    assert during == ([1] * len(libraries), before[1])


def test_workers_with_variables_of_their_own_limit_their_libraries_themselves(context):
    numpy.ones((200, 200)) @ numpy.ones((200, 200))
    with context.Pool(1, env=own_threads) as pool:
        threads, _ = pool.apply(blas_and_own_threads, (0,))
    pool.join()
    assert threads and set(threads) == {1}


def test_a_variable_that_was_set_after_a_library_was_loaded_counts_for_workers(context, monkeypatch):
    numpy.ones((200, 200)) @ numpy.ones((200, 200))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with context.Pool(1) as pool:
        threads, _ = pool.apply(blas_and_own_threads, (0,))
    pool.join()
    assert threads and set(threads) == {1}


@pytest.mark.parametrize("kind, quiet", [(1, True), (2, False)])
def test_only_threads_of_openblas_itself_are_set_without_its_function(kind, quiet, monkeypatch):
    class Library:
        blas_server_avail = ctypes.c_int(0)
        blas_cpu_number = ctypes.c_int(4)
        openblas_get_parallel = staticmethod(lambda: kind)

    monkeypatch.setattr(ctypes.c_int, "in_dll", lambda library, name: getattr(library, name), raising=False)
    asked = []
    math_threads._quiet(Library, asked.append, "openblas_get_parallel")(1)
    assert (asked, Library.blas_cpu_number.value) == (([], 1) if quiet else ([1], 4))


def own_threads(place):
    return {"OPENBLAS_NUM_THREADS": "1"}


def test_the_system_ends_a_worker_rather_than_its_parent(context):
    with context.Pool(1) as pool:
        assert pool.apply(oom_score, (0,)) == min(1000, oom_score(0) + 200)
    pool.join()


def test_a_pool_in_a_worker_has_its_share_of_the_cpus(context):
    with context.Pool(cpus.usable()) as pool:
        assert pool.map(nested_size, range(2)) == [(1, "1")] * 2
    pool.join()


@pytest.mark.parametrize(
    "files, limit",
    [
        ({"cgroup": "0::/a/b\n", "fs/cpu.max": "max 100000", "fs/a/cpu.max": "150000 100000"}, 1.5),
        ({"cgroup": "0::/\n", "fs/cpu.max": "300000 100000"}, 3),
        ({"cgroup": "0::/gone\n"}, None),
        ({"cgroup": "0::/a\n", "fs/a/cpu.max": "nonsense"}, None),
        (
            {
                "cgroup": "4:cpu,cpuacct:/job\n1:name=x:/job\n",
                "fs/cpu,cpuacct/job/cpu.cfs_quota_us": "50000\n",
                "fs/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        ({"cgroup": "4:cpu:/\n", "fs/cpu/cpu.cfs_quota_us": "-1\n", "fs/cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_the_quota_of_control_groups(tmp_path, files, limit):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cpus.quota(tmp_path / "cgroup", tmp_path / "fs") == limit


def test_a_quota_bounds_the_number_of_workers_and_is_looked_up_again(monkeypatch):
    monkeypatch.setattr(cpus, "_looked", (0, 0.0, None))
    monkeypatch.setattr(cpus, "RECENT_S", 1e9)
    monkeypatch.setattr(cpus, "quota", lambda: 0.5)
    assert cpus.usable() == 1 == cpus.budget()
    with procession.Pool() as pool:
        assert pool._processes == 1
    pool.join()
    monkeypatch.setattr(cpus, "quota", lambda: None)
    assert cpus.usable() == 1
    monkeypatch.setattr(cpus, "RECENT_S", -1.0)
    assert cpus.usable() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("wrong", [{"": "1"}, {"A=B": "1"}, {"A\0": "1"}, {"A": "1\0"}])
def test_variables_that_cannot_be_are_refused_where_they_are_given(wrong):
    with pytest.raises(ValueError, match="env: "):
        procession.Pool(1, env=wrong)
    with pytest.raises(ValueError, match="env: "):
        procession.Process(target=print, env=wrong)


@pytest.mark.parametrize("wrong", [{"nice": "3"}, {"env": {"A": 1}}, {"cpu_affinity": ["a"]}])
def test_settings_of_the_wrong_type_are_refused(wrong):
    with pytest.raises(TypeError):
        procession.Pool(1, **wrong)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError):
        procession.Pool(1, cpu_affinity=[])
    with pytest.raises(ValueError):
        procession.Pool(1, cpu_affinity=lambda place: [])


@pytest.mark.parametrize(("setting", "kind"), [({"cpu_affinity": [5000]}, OSError), ({"nice": 1 << 70}, OverflowError)])
def test_a_setting_that_the_system_refuses_a_worker_is_the_cause_at_once(context, setting, kind, capfd):
    (name,) = setting
    with context.Pool(2, **setting) as pool:
        with pytest.raises(procession.WorkerDied, match=f"could not be given {name}=") as caught:
            pool.map(tell, ["HOME"])
        assert type(caught.value.__cause__) is kind
    pool.join()
    assert capfd.readouterr().err == ""
