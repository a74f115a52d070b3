"""`concurrent.futures.ProcessPoolExecutor` under `python -m procession` and `procession.install()`: it is ours."""

import textwrap

import pytest
from test_drop_in import run, write

METHODS = ["fork", "spawn", "forkserver"]

NAMES = """
    BEFORE
    import asyncio, concurrent.futures, os, signal, sys
    import concurrent.futures.process
    from concurrent.futures import *
    from concurrent.futures import ProcessPoolExecutor as taken, process
    from concurrent.futures.process import BrokenProcessPool
    import multiprocessing, procession.futures

    class Named(concurrent.futures.ProcessPoolExecutor):
        def __init__(self, name, **options):
            super().__init__(**options)
            self.name = name

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def inner(number):
        from concurrent.futures import ProcessPoolExecutor
        with ProcessPoolExecutor(1) as executor:
            return number + executor.submit(abs, -1).result(), ProcessPoolExecutor.__module__

    async def ask(executor):
        loop = asyncio.get_running_loop()
        try:
            loop.set_default_executor(executor)
        except TypeError:
            return await loop.run_in_executor(executor, pow, 2, 5)

    if __name__ == "__main__":
        ours = procession.futures.ProcessPoolExecutor
        assert ours is taken is ProcessPoolExecutor is process.ProcessPoolExecutor
        assert BrokenProcessPool is procession.futures.BrokenProcessPool is process.BrokenProcessPool
        context = multiprocessing.get_context(sys.argv[1])
        with Named("x", max_workers=2, mp_context=context) as executor:
            assert isinstance(executor, taken) and executor.name == "x"
            before = executor.submit(pow, 2, 3)
            try:
                executor.submit(die).result()
            except BrokenProcessPool as error:
                print("BrokenProcessPool", isinstance(error, procession.futures.BrokenProcessPool))
            victim = executor.submit(os.getpid).result()
            assert victim in executor._processes
            os.kill(victim, signal.SIGKILL)
            executor._processes[victim].join()
            print(before.result(), list(executor.map(abs, [-1, -2, -3])), asyncio.run(ask(executor)))
            print(*executor.submit(inner, 1).result())
"""
TOLD = "BrokenProcessPool True\n8 [1, 2, 3] 32\n2 procession.futures\n"


# What is imported before matters to the program itself, and to workers that import its file anew.
@pytest.mark.parametrize("method, before", [
    *((method, "") for method in METHODS), ("fork", "import procession.futures"), ("spawn", "import procession.joblib"),
])  # fmt: skip
def test_the_executor_of_an_unchanged_program_survives_killed_workers(tmp_path, method, before):
    if "joblib" in before:
        pytest.importorskip("joblib")
    write(tmp_path, "program.py", NAMES.replace("BEFORE", before))
    assert run("-m", "procession", "program.py", method, folder=tmp_path) == TOLD


INSTALLED = """
    if FIRST:
        import concurrent.futures.process, library
    import procession
    procession.install()
"""


@pytest.mark.parametrize("method, first", [*((method, True) for method in METHODS), ("spawn", False)])
def test_the_executor_of_a_program_that_installs_survives_killed_workers(tmp_path, method, first):
    write(tmp_path, "library.py", "from concurrent.futures import ProcessPoolExecutor\n")
    before = textwrap.dedent(INSTALLED.replace("FIRST", str(first)))
    write(tmp_path, "program.py", before + textwrap.dedent(NAMES.replace("BEFORE", "")))
    assert run("program.py", method, folder=tmp_path) == TOLD


LIBRARY = """
    import concurrent.futures
    from concurrent.futures import ProcessPoolExecutor, process
    from concurrent.futures.process import ProcessPoolExecutor as other_name

    class Own(ProcessPoolExecutor):
        def __init__(self, *arguments):
            ProcessPoolExecutor.__init__(self, *arguments)
"""
WITH_OBJECTS = """
    from concurrent.futures import ProcessPoolExecutor

    class Own(ProcessPoolExecutor):
        pass

    executor = Own(1)
"""
BEFORE = """
    import os
    import library, objects
    import procession

    procession.install()

    if __name__ == "__main__":
        ours = procession.futures.ProcessPoolExecutor
        assert library.ProcessPoolExecutor is library.other_name is library.process.ProcessPoolExecutor is ours
        with library.Own(1) as executor:
            assert isinstance(executor, ours)
            error = executor.submit(os._exit, 3).exception()
            print(type(error).__name__, isinstance(error, library.process.BrokenProcessPool))
            print(executor.submit(abs, -5).result())
        assert isinstance(objects.executor, objects.ProcessPoolExecutor)
        assert objects.Own.__base__ is objects.ProcessPoolExecutor is not ours
"""


def test_names_and_subclasses_from_before_the_installation_are_ours_where_they_have_no_objects_yet(tmp_path):
    write(tmp_path, "library.py", LIBRARY)
    write(tmp_path, "objects.py", WITH_OBJECTS)
    write(tmp_path, "program.py", BEFORE)
    assert run("program.py", folder=tmp_path) == "WorkerDied True\n5\n"


KEPT = """
    import sys
    from procession import _drop_in
    _drop_in.KEEP_STANDARD = ("old_engine",)
    if "before" in sys.argv:
        import old_engine
    _drop_in.install()
    import old_engine
    from concurrent.futures import ProcessPoolExecutor
    print(old_engine.ProcessPoolExecutor.__module__, old_engine.Own.__base__.__module__, ProcessPoolExecutor.__module__)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_library_with_its_own_engine_keeps_the_standard_executor(tmp_path, when):
    write(tmp_path, "old_engine.py", LIBRARY)
    write(tmp_path, "program.py", KEPT)
    told = "concurrent.futures.process concurrent.futures.process procession.futures\n"
    assert run("program.py", when, folder=tmp_path) == told


STANDARD_CONTEXTS = """
    import multiprocessing
    contexts = [multiprocessing, *map(multiprocessing.get_context, multiprocessing.get_all_start_methods())]
    import procession
    procession.install()
    from concurrent.futures import ProcessPoolExecutor

    def method():
        return multiprocessing.get_start_method(), multiprocessing.__name__

    if __name__ == "__main__":
        for context in contexts:
            with ProcessPoolExecutor(1, context) as executor:
                told = executor.submit(method).result()
                assert told == (context.get_start_method(), "procession"), told
        with ProcessPoolExecutor(mp_context=contexts[0], max_tasks_per_child=1) as executor:
            print(executor._max_workers > 0, executor.submit(abs, -1).result())
"""


def test_contexts_of_the_standard_library_mean_their_start_methods(tmp_path):
    write(tmp_path, "program.py", STANDARD_CONTEXTS)
    assert run("program.py", folder=tmp_path) == "True 1\n"
