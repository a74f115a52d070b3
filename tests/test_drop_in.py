"""`python -m procession` and `procession.install()`: unchanged programs on procession."""

import multiprocessing as standard
import py_compile
import subprocess
import sys
import textwrap
import zipfile

import pytest

LIMIT_S = 60

SHOW = "import multiprocessing, sys; print(multiprocessing.__name__, sys.argv, __name__)\n"

PROGRAM = """
    import multiprocessing
    import multiprocessing.managers as standard_name
    from multiprocessing import Process, get_context
    from multiprocessing.queues import SimpleQueue

    def tell(queue):
        import multiprocessing.context
        queue.put((multiprocessing.__name__, multiprocessing.context.__name__, Process.__module__))

    if __name__ == "__main__":
        print(standard_name.__name__)
        for method in multiprocessing.get_all_start_methods():
            context = get_context(method)
            queue = context.SimpleQueue()
            child = context.Process(target=tell, args=(queue,))
            child.start()
            print(method, *queue.get())
            child.join()
"""

EXECUTOR = """
    import sys, threading
    from concurrent.futures import ProcessPoolExecutor, as_completed
    import multiprocessing

    def where(number):
        return number * 2, multiprocessing.__name__

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            print(sorted(executor.map(where, range(3), chunksize=2)))
            print(type(executor.submit(where, threading.Lock()).exception()).__name__)
            print(*(future.result()[0] for future in as_completed([executor.submit(where, 4)])))
"""

INSTALLS = """
    import multiprocessing as before
    import procession
    procession.install()
    procession.install()
    import multiprocessing.connection as after
    print(before.__name__, after.__name__)
    try:
        import multiprocessing.nonsense
    except ModuleNotFoundError as error:
        print(error.name)
"""

START_METHODS = """
    import multiprocessing, sys
    if "set" in sys.argv and __name__ == "__main__":
        multiprocessing.set_start_method("spawn")
    if "ours" in sys.argv and __name__ == "__main__":
        import procession
        procession.set_start_method("forkserver")
    if "install" in sys.argv:
        import procession
        procession.install()
        import multiprocessing

    value = "of the import"

    def tell(_=None):
        return value

    if __name__ == "__main__":
        value = "changed since"
        with multiprocessing.Pool(1) as pool:
            print(multiprocessing.get_all_start_methods()[0], multiprocessing.get_start_method(), pool.apply(tell))
"""

LEAVES_ITS_FOLDER = """
    import multiprocessing, os, sys
    from beside import answer

    def name():
        return __name__

    if __name__ == "__main__":
        os.chdir("/")
        with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
            print(pool.apply(answer), pool.apply(name), os.path.isabs(__file__))
"""

STANDARD_KEPT = """
    import sys, types
    from procession import _drop_in
    _drop_in.KEEP_STANDARD = ("old_engine",)
    _drop_in.install()
    import old_engine, multiprocessing
    print(old_engine.multiprocessing.__name__, multiprocessing.__name__)
"""


def run(*arguments, folder, given=None):
    """Run a command in `folder` and return its output; what it says on stderr is an error."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, input=given, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def write(folder, name, text):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_every_form_of_a_program_sees_its_own_arguments(tmp_path):
    write(tmp_path, "show.py", SHOW)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder", "__main__.py", SHOW)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    for form, argv0 in (
        (["show.py"], "show.py"),
        (["-m", "show"], str(tmp_path / "show.py")),
        (["-m", "folder"], str(tmp_path / "folder" / "__main__.py")),
        (["-c", SHOW], "-c"),
        (["folder"], "folder"),
        (["archive.zip"], "archive.zip"),
    ):
        output = run("-m", "procession", *form, "-x", "1", folder=tmp_path)
        assert output == f"procession {[argv0, '-x', '1']} __main__\n"
    assert run("-m", "procession", "-", "a", folder=tmp_path, given=SHOW) == "procession ['-', 'a'] __main__\n"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("form", ["program.py", "../folder/program.py", "link.py", "program.pyc"])
def test_children_find_a_program_and_its_modules_whatever_way_led_to_it(tmp_path, method, form):
    (folder := tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").mkdir()
    program = write(tmp_path / "elsewhere" if form == "link.py" else folder, "program.py", LEAVES_ITS_FOLDER)
    write(program.parent, "beside.py", "def answer():\n    return 42\n")
    (folder / "link.py").symlink_to("../elsewhere/program.py")
    if form.endswith("c"):
        py_compile.compile(str(program), str(folder / form), doraise=True)
    # What stands in another file than the program's own, here the source, travels by value.
    name = "__main__" if method == "fork" or form.endswith("c") else "__mp_main__"
    assert run("-m", "procession", form, method, folder=folder) == f"42 {name} True\n"


def test_a_program_and_all_its_children_run_on_procession(tmp_path):
    write(tmp_path, "program.py", PROGRAM)
    told = "procession procession.context procession.context"
    expected = ["procession.managers", f"fork {told}", f"spawn {told}", f"forkserver {told}"]
    for form in (["program.py"], ["-m", "program"]):
        output = run("-m", "procession", *form, folder=tmp_path).splitlines()
        assert output[0] == expected[0] and sorted(output[1:]) == sorted(expected[1:])


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_standard_executor_runs_on_procession(tmp_path, method):
    write(tmp_path, "program.py", EXECUTOR)
    output = run("-m", "procession", "program.py", method, folder=tmp_path)
    assert output == "[(0, 'procession'), (2, 'procession'), (4, 'procession')]\nTypeError\n8\n"


def test_installing_replaces_what_was_imported_before(tmp_path):
    write(tmp_path, "program.py", INSTALLS)
    assert run("program.py", folder=tmp_path) == "procession procession.connection\nmultiprocessing.nonsense\n"


def test_the_default_start_method_of_an_unchanged_program_is_the_interpreters_own(tmp_path):
    write(tmp_path, "program.py", START_METHODS)
    own = run("program.py", folder=tmp_path)
    assert own.split()[0] == standard.get_all_start_methods()[0]
    # The variable that it shows it by is one to warn of, where that is not fork.
    assert run("-W", "ignore", "-m", "procession", "program.py", folder=tmp_path) == own
    assert run("-W", "ignore", "program.py", "install", folder=tmp_path) == own


@pytest.mark.parametrize(("library", "method"), [("set", "spawn"), ("ours", "forkserver")])
def test_a_start_method_that_was_set_before_the_installation_stays(tmp_path, library, method):
    write(tmp_path, "program.py", START_METHODS)
    # The variable that it shows it by is one to warn of.
    assert run("-W", "ignore", "program.py", library, "install", folder=tmp_path).split()[1:] == [
        method,
        "of",
        "the",
        "import",
    ]


def test_a_library_with_its_own_engine_keeps_the_standard_one(tmp_path):
    write(tmp_path, "old_engine.py", "import multiprocessing\n")
    write(tmp_path, "program.py", STANDARD_KEPT)
    assert run("program.py", folder=tmp_path) == "multiprocessing procession\n"


JOBLIB = """
    import os
    from joblib import Parallel, delayed

    def pid(_):
        return os.getpid()

    if __name__ == "__main__":
        print(Parallel(n_jobs=2)(delayed(abs)(n) for n in (-1, -2)))
        print(os.getpid() in Parallel(n_jobs=2, backend="multiprocessing")(delayed(pid)(n) for n in range(4)))
        import procession.joblib
        print(len(procession.joblib._pools))
"""


def test_joblib_computes_on_procession(tmp_path):
    pytest.importorskip("joblib")
    write(tmp_path, "program.py", JOBLIB)
    assert run("-m", "procession", "program.py", folder=tmp_path) == "[1, 2]\nFalse\n1\n"


GUARDED_JOBLIB = """
    def square(x):
        return x * x

    if __name__ == "__main__":
        from joblib import Parallel, delayed
        for backend in ("loky", "multiprocessing", "threading", None):
            print(Parallel(n_jobs=2, backend=backend)(delayed(square)(i) for i in range(4)))
"""


def test_joblib_may_be_imported_by_the_program_alone(tmp_path):
    write(tmp_path, "program.py", GUARDED_JOBLIB)
    assert run("-m", "procession", "program.py", folder=tmp_path) == "[0, 1, 4, 9]\n" * 4


LOKY = """
    import multiprocessing
    import loky

    def square(x):
        return x * x

    if __name__ == "__main__":
        executor = loky.get_reusable_executor(max_workers=2)
        print(list(executor.map(square, range(4))), executor.submit(lambda: 7).result(), multiprocessing.__name__)
        executor.shutdown()
"""


def test_loky_runs_beside_procession_on_its_own_engine(tmp_path):
    write(tmp_path, "program.py", LOKY)
    assert run("-m", "procession", "program.py", folder=tmp_path) == "[0, 1, 4, 9] 7 procession\n"


def test_exit_codes_and_errors_are_those_of_the_program(tmp_path):
    write(tmp_path, "program.py", "import sys; sys.exit(7)")
    command = [sys.executable, "-m", "procession"]
    assert subprocess.run([*command, "program.py"], cwd=tmp_path, timeout=LIMIT_S).returncode == 7
    for wrong in ([], ["missing.py"], ["--nonsense"], ["-m"], ["-c"]):
        done = subprocess.run([*command, *wrong], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 1 and done.stderr.startswith("procession: "), wrong
    assert "usage: python -m procession" in run("-m", "procession", "--help", folder=tmp_path)
    assert run("-m", "procession", "--version", folder=tmp_path).startswith("procession ")


EARLIER = """
import multiprocessing, sys
import procession

Standard = multiprocessing.get_context(sys.argv[1]).Process

class Derived(Standard):
    pass

if __name__ == "__main__":
    earlier = Standard(target=print, args=("ran",))
    procession.install()
    for started in (earlier, Standard(), Derived()):
        try:
            started.start()
        except RuntimeError as error:
            print(type(started).__name__, "call install() before" in str(error), multiprocessing.active_children())
    later = multiprocessing.get_context(sys.argv[1]).Process(target=sys.exit, args=(3,))
    later.start()
    later.join()
    print(later.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_before_the_standard_library_was_replaced_says_so_when_it_is_started(tmp_path, method):
    program = tmp_path / "program.py"
    program.write_text(EARLIER)
    done = subprocess.run([sys.executable, program, method], capture_output=True, text=True, timeout=60)
    name = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}[method] + "Process"
    assert done.stdout.splitlines() == [f"{name} True []", f"{name} True []", "Derived True []", "3"], done.stderr
    assert done.stderr == ""
