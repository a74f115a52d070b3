"""Every method of `Pool` on every crew; what a new one takes; what is told where one does not offer something."""

import gc
import importlib.metadata
import inspect
import os
import pickle
import re
import subprocess
import sys
import threading
import weakref

import procession
import pytest
from procession._pool import crew, crews, jobs
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool, ThreadPool

from tests.tasks import crews as suite
from tests.tasks.each_thread import EachThread

OFFERS = {
    "processes": crew.Crew.offers,
    "threads": frozenset(("timeout", "retries")),
    "serial": frozenset(("retries",)),
    "each thread": frozenset(("retries",)),
}


@pytest.fixture(autouse=True)
def one_more_crew(monkeypatch):
    monkeypatch.setitem(crews.CREWS, "each thread", ("tests.tasks.each_thread", "EachThread"))


@pytest.mark.parametrize("name", OFFERS)
@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
def test_each_crew_does_what_a_pool_needs(check, name, tmp_path):
    def make(processes=2, **options):
        return Pool(processes, crew=name, **options)

    check(make, OFFERS[name], tmp_path)


def test_a_new_crew_takes_few_lines():
    assert len(inspect.getsource(inspect.getmodule(EachThread)).splitlines()) <= 65


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")}


def test_the_engine_has_what_a_crew_and_its_jobs_supply():
    """What `Pool`, its results, shared pools and the executor use is of one name and has the same arguments."""
    engine = procession._procession.PoolCore
    for name in ("apply", "apply_async", "map", "map_async", "imap", "close", "join", "look", "share", "end"):
        assert hasattr(engine, name) and (hasattr(crews.Crew, name) or name == "end"), name
    for name in ("begin", "survey", "stacks", "terminate", "forgotten", "await_end", "accompanied", "is_ours"):
        ours, theirs = (list(inspect.signature(getattr(kind, name)).parameters) for kind in (crews.Crew, crew.Crew))
        assert ours == theirs, name
    wanted = {"count", "offers", "shares_memory", "unusable"}
    assert wanted <= public(crew.Crew) & public(crews.Crew)
    asked = set(re.findall(r"_crew\.([a-z]\w*)", inspect.getsource(sys.modules["procession.pool"])))
    with Pool(1) as pool:
        assert asked - {"refuse"} <= {*dir(pool._crew)}  # nothing is refused by it
    handle = public(procession._procession.JobCore)
    assert {"ready", "successful", "done", "wait", "finish", "value", "counts", "cancel", "watch"} <= handle
    assert {"next", "close", "forsake"} <= handle
    assert handle <= public(jobs.Whole) | public(jobs.Stream)


def test_a_crew_that_nobody_knows_is_refused():
    for wrong, error in (("theatre", ValueError), (3, TypeError)):
        with pytest.raises(error, match="crew"):
            Pool(1, crew=wrong)


def test_a_crew_is_found_by_an_entry_point(monkeypatch):
    entry = importlib.metadata.EntryPoint("another", "tests.tasks.each_thread:EachThread", "procession_crews")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [entry] if group == "procession_crews" else []
    )
    with Pool(2, crew="another") as pool:
        assert isinstance(pool._crew, EachThread) and pool.map(suite.double, [1, 2]) == [2, 4]


class AnotherContext(procession.context.SpawnContext):
    """A context whose pools have a crew of their own."""

    _name = "another"
    crew = "each thread"


CONTEXT = AnotherContext()


def test_a_context_brings_its_crew(monkeypatch):
    monkeypatch.setitem(procession.context.FURTHER, "another", (__name__, "extra"))
    context = procession.get_context("another")
    assert context is CONTEXT is pickle.loads(pickle.dumps(context))
    assert context is procession.get_context("fork").get_context("another")
    with context.Pool(2) as pool, ProcessPoolExecutor(2, mp_context=context) as executor:
        assert isinstance(pool._crew, EachThread) and pool.map(suite.double, [1, 2]) == [2, 4]
        executor.submit(suite.double, 3).result()
        assert isinstance(executor._engine._pool._crew, EachThread)
    with context.Pool(2, crew="serial") as pool:
        assert pool.map(where, range(3)) == [where(1)] * 3
    assert "another" not in procession.get_all_start_methods()


def test_a_context_is_found_by_an_entry_point(monkeypatch):
    entry = importlib.metadata.EntryPoint("by entry", f"{__name__}:CONTEXT", "procession_contexts")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [entry] if group == "procession_contexts" else []
    )
    assert procession.get_context("by entry") is CONTEXT


def test_a_context_that_needs_more_says_what_to_install(monkeypatch):
    monkeypatch.setitem(procession.context.FURTHER, "far", ("nothing_of_that_name", "far"))
    with pytest.raises(ImportError, match=r'nothing_of_that_name.*pip install "procession\[far\]"'):
        procession.get_context("far")
    with pytest.raises(ValueError, match="the start methods are fork, spawn, forkserver"):
        procession.get_context("further")


def where(_):
    return os.getpid(), threading.get_ident()


def test_a_serial_pool_runs_tasks_in_the_caller():
    here = os.getpid(), threading.get_ident()
    with Pool(2, crew="serial") as pool:
        assert {*pool.map(where, range(5)), *pool.imap(where, range(5)), pool.apply_async(where, (1,)).get()} == {here}


BY_ENVIRONMENT = """
import os
import procession as multiprocessing
from procession.futures import ProcessPoolExecutor

def where(_):
    return os.getpid()

if __name__ == "__main__":
    with multiprocessing.Pool(2, max_memory="1GB", maxtasksperchild=1) as pool:
        found = {*pool.map(where, range(3), timeout=60), *pool.imap(where, range(3))}
    with ProcessPoolExecutor(2) as executor:
        found |= set(executor.map(where, range(3)))
    with multiprocessing.shared_pool(2) as pool:
        found |= set(pool.map(where, range(3)))
    with multiprocessing.pool.ThreadPool(2) as threads:
        print(type(threads._crew).__name__, found == {os.getpid()})
"""


def test_the_environment_has_a_program_that_is_left_as_it_is_run_in_one_process(tmp_path):
    (tmp_path / "program.py").write_text(BY_ENVIRONMENT)
    environment = {**os.environ, "PROCESSION_CREW": "serial"}
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "Threads True\n", done.stderr


@pytest.mark.parametrize("name", OFFERS)
def test_an_executor_runs_on_each_crew(name):
    with ProcessPoolExecutor(2, crew=name) as executor:
        assert list(executor.map(suite.double, range(20), chunksize=3)) == [2 * n for n in range(20)]
        futures = [executor.submit(suite.fail_at_three, n) for n in range(5)]
        assert [future.exception() is None for future in futures] == [True, True, True, False, True]
    executor = ProcessPoolExecutor(2, crew=name)
    executor.submit(suite.double, 1).result()
    executor.terminate_workers()


@pytest.mark.parametrize("name", OFFERS)
def test_the_backend_for_joblib_runs_on_each_crew(name):
    joblib = pytest.importorskip("joblib")
    import procession.joblib

    try:
        with joblib.parallel_config("procession", n_jobs=2, crew=name):
            for _ in range(2):
                assert joblib.Parallel()(joblib.delayed(suite.double)(n) for n in range(9)) == [2 * n for n in range(9)]
            with pytest.raises(suite.Guilty):
                joblib.Parallel()(joblib.delayed(suite.fail_at_three)(n) for n in range(9))
    finally:
        procession.joblib._pools.clear()


def test_a_pool_of_threads_leaves_the_start_method_open():
    program = "import procession.pool; procession.pool.ThreadPool(1).terminate(); procession.set_start_method('spawn')"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_ctrl_c_in_a_serial_task_is_the_callers():
    def interrupt(number):
        if number == 1:
            raise KeyboardInterrupt
        return number

    with Pool(1, crew="serial") as pool:
        with pytest.raises(KeyboardInterrupt):
            pool.map_async(interrupt, range(3))
        results = pool.imap(interrupt, range(3))
        assert next(results) == 0
        with pytest.raises(KeyboardInterrupt):
            next(results)
        with pytest.raises(KeyboardInterrupt):  # what has ended the map, once more
            next(results)
        assert list(results) == [] and pool.map(suite.double, [1]) == [2]
        pool.close()
        pool.join()


def test_lazy_maps_of_a_serial_pool_that_nobody_reads_are_computed_all_the_same():
    done = []
    with Pool(1, crew="serial") as pool:
        pool.imap(done.append, range(3))
        pool.apply(int)
        assert done == [0, 1, 2]
        results = pool.imap(done.append, iter(range(3, 5)))
        pool.close()
        pool.join()
    assert done == [0, 1, 2, 3, 4] and list(results) == [None, None]


def test_a_forgotten_pool_goes_without_a_collection(no_collections):
    for name in ("serial", "each thread"):
        gone = weakref.ref(Pool(1, crew=name)._crew)
        assert gone() is None, name


@pytest.fixture
def no_collections():
    gc.disable()
    yield
    gc.enable()


def test_a_forgotten_pool_of_threads_works_off_what_it_has():
    seen, done = [], threading.Event()
    pool = ThreadPool(1)
    pool.apply_async(suite.double, (4,), callback=lambda value: (seen.append(value), done.set()))
    with pytest.warns(ResourceWarning, match="unclosed running"):
        del pool
    assert done.wait(suite.LIMIT_S) and seen == [8]
