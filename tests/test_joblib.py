"""The joblib backend: Parallel on procession's pool."""

import os
import subprocess
import sys
import threading
import time

import pytest

joblib = pytest.importorskip("joblib")

import procession.joblib  # noqa: E402
from procession._pool import cpus  # noqa: E402

LIMIT_S = 60


def own_pid(_):
    return os.getpid()


def fail_at_three(number):
    if number == 3:
        raise LookupError(number)
    return number


@pytest.fixture(autouse=True)
def no_pool_left():
    yield
    procession.joblib._pools.clear()


def test_parallel_computes_in_the_same_workers_call_after_call():
    with joblib.parallel_config("procession", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(pow)(n, 2) for n in range(50)) == [n * n for n in range(50)]
        seen = {pid for _ in range(3) for pid in joblib.Parallel()(joblib.delayed(own_pid)(n) for n in range(20))}
        assert os.getpid() not in seen and len(seen) <= 2
        results = joblib.Parallel(return_as="generator")(joblib.delayed(lambda: 5)() for _ in range(2))
        assert list(results) == [5, 5]


def test_an_error_in_a_call_is_raised_and_the_backend_goes_on():
    with joblib.parallel_config("procession", n_jobs=2):
        with pytest.raises(LookupError):
            joblib.Parallel()(joblib.delayed(fail_at_three)(n) for n in range(6))
        assert joblib.Parallel()(joblib.delayed(abs)(n) for n in (-1, -2)) == [1, 2]


def wait_until(path, begun):
    begun.touch()
    return wait_for(path)


def wait_for(path):
    until = time.monotonic() + LIMIT_S
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.001)
    return path.exists()


@pytest.mark.parametrize("others", [3, 2])
def test_a_failed_call_of_another_thread_does_not_end_a_call(tmp_path, others):
    path, begun = tmp_path / "go", tmp_path / "begun"
    answers = []

    def call():
        with joblib.parallel_config("procession", n_jobs=2):
            answers.append(joblib.Parallel()([joblib.delayed(wait_until)(path, begun)]))

    thread = threading.Thread(target=call)
    thread.start()
    assert wait_for(begun)
    try:
        with joblib.parallel_config("procession", n_jobs=others), pytest.raises(LookupError):
            joblib.Parallel()(joblib.delayed(fail_at_three)(n) for n in range(6))
    finally:
        path.touch()
        thread.join(LIMIT_S)
    assert answers == [[True]]


def workers_for(n_jobs):
    return procession.joblib.ProcessionBackend().effective_n_jobs(n_jobs)


def test_in_a_worker_all_cpus_are_its_share(context, monkeypatch):
    with context.Pool(2) as pool:
        share = pool.apply(cpus.budget)
        assert pool.apply(workers_for, (-1,)) == share and pool.apply(workers_for, (3,)) == 3
    assert workers_for(-1) == cpus.budget()
    monkeypatch.setattr(cpus, "usable", lambda: 8)
    monkeypatch.setitem(procession.current_process()._config, "cpus", 3)
    assert (workers_for(-1), workers_for(-2), workers_for(-9)) == (3, 2, 1)


def test_one_job_needs_no_pool():
    with joblib.parallel_config("procession", n_jobs=1):
        assert joblib.Parallel()(joblib.delayed(own_pid)(n) for n in range(2)) == [os.getpid()] * 2


def put(array, place):
    array[place] = place


def test_tasks_write_into_an_array_that_lies_in_a_file(tmp_path):
    numpy = pytest.importorskip("numpy")
    array = numpy.memmap(tmp_path / "array", dtype=float, shape=(8, 2), mode="w+")
    with joblib.parallel_config("procession", n_jobs=2):
        joblib.Parallel()(joblib.delayed(put)(array[:, 0], place) for place in range(8))
        joblib.Parallel()(joblib.delayed(put)(array=numpy.asarray(array)[:, 1], place=place) for place in range(8))
        assert array.tolist() == [[place, place] for place in range(8)]
        joblib.Parallel()(joblib.delayed(put_all)([{"to": array}], place) for place in range(8))
    assert array.tolist() == [[-place, -place] for place in range(8)]


def put_all(parts, place):
    parts[0]["to"][place] = -place


known = None


def remember(value):
    global known
    known = value


def what_is_known(_):
    return known


@pytest.mark.parametrize("where", ["Parallel", "parallel_config"])
def test_an_initializer_runs_in_each_worker_before_its_first_task(where):
    wish = {"initializer": remember, "initargs": ("this",)}
    with joblib.parallel_config("procession", n_jobs=2, **(wish if where == "parallel_config" else {})):
        parallel = joblib.Parallel(**(wish if where == "Parallel" else {}))
        assert parallel(joblib.delayed(what_is_known)(n) for n in range(20)) == ["this"] * 20
    with joblib.parallel_config("procession", n_jobs=2):
        assert joblib.Parallel()(joblib.delayed(what_is_known)(n) for n in range(4)) == [None] * 4


def threads_wished(_):
    return os.environ.get("OMP_NUM_THREADS")


def test_workers_have_the_numbers_of_threads_that_the_program_has_set_last(monkeypatch):
    for wish in ("3", "5"):
        monkeypatch.setenv("OMP_NUM_THREADS", wish)
        with joblib.parallel_config("procession", n_jobs=2):
            assert joblib.Parallel()(joblib.delayed(threads_wished)(n) for n in range(4)) == [wish] * 4


UNCHANGED = """
import joblib
if __name__ == "__main__":
    for name in ("loky", "multiprocessing"):
        print(type(joblib.Parallel(backend=name)._backend).__name__, joblib.Parallel(backend=name).n_jobs)
    print(joblib.Parallel().n_jobs)
"""


def test_a_program_that_names_no_number_of_jobs_computes_serially(tmp_path):
    (tmp_path / "program.py").write_text(UNCHANGED)
    command = [sys.executable, "-m", "procession", str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout == "_StandIn 1\n_StandIn 1\n1\n"


OWN_POOLS = """
import functools
import sys
import multiprocessing
import numpy
from joblib.pool import MemmappingPool, PicklingPool

class Plain:
    def __init__(self, value):
        self.value = value

def times_ten(plain):
    return Plain, (plain.value * 10,)

def plus_one(plain):
    return Plain, (plain.value + 1,)

def value_of(plain):
    return plain.value

def put(array, place):
    array[place] = place
    return type(array).__name__

def same(array):
    return array

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    in_file = numpy.memmap(sys.argv[2], dtype=int, shape=8, mode="w+")
    with MemmappingPool(1, max_nbytes=1000) as pool:
        pool.map(functools.partial(put, in_file), range(1))
        pool.starmap(put, ((in_file, place) for place in range(1, 3)))
        pool.starmap_async(put, [(in_file, 3)]).get()
        pool.apply(put, (in_file, 4))
        pool.apply_async(put, (in_file,), {"place": 5}).get()
        print(in_file, [type(array).__name__ for array in pool.imap(same, [in_file, in_file[:2]])])
        large = numpy.zeros(1000)
        print(pool.apply(lambda array: (type(array).__name__, array.flags.writeable), (large,)))
        print(type(pool.map(same, [large])[0]).__name__)
    with PicklingPool(1, {Plain: times_ten}, {Plain: plus_one}) as pool:
        print(pool.map(value_of, [Plain(4)]), pool.map(same, [Plain(4)])[0].value)
        try:
            pool.map(None, [1])
        except TypeError:
            print("TypeError")
"""
OF_OWN_POOLS = """[0 1 2 3 4 5 0 0] ['memmap', 'memmap']
('memmap', False)
ndarray
[40] 41
TypeError
"""


def test_pools_of_joblib_pickle_by_their_own_reducers(context, tmp_path):
    pytest.importorskip("numpy")
    (tmp_path / "program.py").write_text(OWN_POOLS)
    command = [sys.executable, "-m", "procession", "program.py", context.get_start_method(), "array"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path)
    assert done.stdout == OF_OWN_POOLS, done.stderr
