"""The table of libraries: which version, where its tests come from, what they need, which of them are run."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Client:
    """A library that uses `multiprocessing`.

    Attributes:
        name: its name in the index of packages.
        version: the pinned one.
        tests: what pytest gets, relative to the unpacked source, or to `programs` for tests of our own.
        needs: further packages, pinned.
        options: of pytest.
        source: "sdist", "own" (its source has no tests: they are ours), or the Debian source package that has them.
        python: which interpreter runs it.
        modes: in which it is run beside the standard library's.
        method: the start method that it counts on without saying so, which it is told where its import is changed, as
            a program that moves from `fork` has to say.
        limit_s: how many seconds one test may take.
    """

    name: str
    version: str
    tests: tuple
    needs: tuple = ()
    options: tuple = ()
    source: str = "sdist"
    python: str = sys.executable
    modes: tuple = ("run", "import")
    method: str = ""
    limit_s: float = 120.0


CLIENTS = (
    Client("pebble", "5.2.3", ("test",)),
    Client(
        "mpire",
        "2.8.0",  # the last whose source has its tests
        ("tests",),
        needs=("numpy==2.4.6", "multiprocess==0.70.19", "setuptools==75.8.0"),
        method="fork",
    ),
    Client(
        "joblib",
        "1.6.0",
        ("joblib/test/test_parallel.py", "joblib/test/test_memmapping.py", "joblib/test/test_module.py"),
        options=("-k", "multiprocessing or mp or module"),
        modes=(
            "run",
        ),  # it contains loky, an engine that is built on private parts, which nobody changes the import of
        needs=("numpy==2.4.6", "psutil==7.2.2", "threadpoolctl==3.6.0"),
    ),
    Client(
        "aiomultiprocess",
        "0.9.1",
        ("aiomultiprocess/tests/core.py", "aiomultiprocess/tests/pool.py", "aiomultiprocess/tests/scheduler.py"),
        options=("-o", "python_files=*.py"),
    ),
    Client("distributed", "2026.8.0", ("of_distributed.py",), source="own"),
    Client("parallelbar", "2.5", ("of_parallelbar.py",), source="own"),
    Client(
        "tqdm",
        "4.70.1",
        ("tests/tests_concurrent.py", "tests/tests_synchronisation.py", "tests/tests_rlock.py"),
        options=("-o", "python_files=tests_*.py"),
        needs=("pytest-asyncio==1.3.0",),
    ),
    Client(
        "fasteners",
        "0.20",
        ("tests/test_process_lock.py", "tests/test_reader_writer_lock.py"),
        needs=("diskcache==5.6.3", "more-itertools==10.8.0"),
    ),
    Client(
        "cotyledon",
        "2.2.0",
        ("cotyledon/tests/test_unit.py",),
        method="fork",
    ),
    Client(
        "luigi",
        "3.8.1",
        (
            "test/worker_test.py",
            "test/worker_task_test.py",
            "test/worker_task_process_test.py",
            "test/worker_parallel_scheduling_test.py",
            "test/worker_external_task_test.py",
            "test/worker_keep_alive_test.py",
            "test/worker_scheduler_com_test.py",
            "test/task_running_resources_test.py",
            "test/rpc_test.py",
            "test/scheduler_test.py",
            "test/simulate_test.py",
        ),
        needs=("mock==5.2.0", "psutil==7.2.2"),
        method="fork",
    ),
    Client(
        "torch",
        "1.13.1",
        ("test/test_dataloader.py", "test/test_multiprocessing.py", "test/test_multiprocessing_spawn.py"),
        needs=("expecttest==0.1.4", "psutil==7.2.2"),
        source="pytorch",
        python="/usr/bin/python3.11",
    ),
)
