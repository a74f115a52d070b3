"""Everything that the standard library's multiprocessing documents is here, and is called the same way."""

import gc
import importlib
import inspect
import multiprocessing
import multiprocessing.pool
import multiprocessing.shared_memory
import os
import subprocess
import sys
import types

import procession
import pytest

SUBMODULES = [
    "connection",
    "context",
    "dummy",
    "forkserver",
    "heap",
    "managers",
    "pool",
    "process",
    "queues",
    "reduction",
    "resource_sharer",
    "resource_tracker",
    "shared_memory",
    "sharedctypes",
    "spawn",
    "synchronize",
    "util",
    "dummy.connection",
]

# Objects whose methods programs call, as (module, class).
CLASSES = [
    ("process", "BaseProcess"),
    ("pool", "Pool"),
    ("pool", "ThreadPool"),
    ("pool", "AsyncResult"),
    ("queues", "Queue"),
    ("queues", "JoinableQueue"),
    ("queues", "SimpleQueue"),
    ("connection", "Connection"),
    ("connection", "Listener"),
    ("synchronize", "Lock"),
    ("synchronize", "RLock"),
    ("synchronize", "Semaphore"),
    ("synchronize", "BoundedSemaphore"),
    ("synchronize", "Condition"),
    ("synchronize", "Event"),
    ("synchronize", "Barrier"),
    ("managers", "BaseManager"),
    ("managers", "SyncManager"),
    ("shared_memory", "SharedMemory"),
    ("shared_memory", "ShareableList"),
    ("context", "BaseContext"),
]

# What the standard library has without documenting it, and we have not.
UNDOCUMENTED = {"Pool.Process", "ThreadPool.Process"}


def parameters(function):
    """The parameters of a function, without `self`; None when nothing can tell them."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    return [parameter for parameter in found if parameter.name not in ("self", "cls")]


def assert_called_alike(ours, theirs):
    """Every call that the standard library's function takes, ours takes with the same meaning."""
    wanted, offered = parameters(theirs), parameters(ours)
    if wanted is None or offered is None:
        return
    described = {parameter.name: parameter for parameter in offered}
    positional = [parameter.name for parameter in offered if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    for place, parameter in enumerate(wanted):
        assert parameter.name in described, f"no parameter {parameter.name}"
        mine = described.pop(parameter.name)
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert positional[place] == parameter.name, f"{parameter.name} stands elsewhere"
        assert (mine.default is mine.empty) == (parameter.default is parameter.empty), f"default of {parameter.name}"
        if isinstance(parameter.default, (int, float, str, bytes, tuple, type(None))):
            assert mine.default == parameter.default
    needed = [extra.name for extra in described.values() if extra.default is extra.empty and extra.kind < 2]
    assert not needed, f"needs {needed} besides"


@pytest.mark.parametrize("name", multiprocessing.__all__)
def test_a_documented_name_is_called_alike(name):
    ours, theirs = getattr(procession, name), getattr(multiprocessing, name)
    assert name in procession.__all__
    if isinstance(theirs, type) and issubclass(theirs, Exception):
        assert issubclass(ours, theirs)
    elif callable(theirs):
        assert_called_alike(ours, theirs)


OWN = {
    "ForkBesideThreads", "MaybeEncodingError", "NodeLost", "OverMemory", "OwnerDied", "PoolTerminated",
    "ProcessionWarning", "SameRandomNumbers", "StaleVariable", "StuckAfterFork", "TaskFailed", "TaskTimeout",
    "WorkerDied", "context_var", "current_task", "current_worker", "end_shared_pools", "install", "open_pool",
    "prepare", "recording", "scope", "share", "shared_pool",
}  # fmt: skip


def test_what_the_package_adds_is_exported_too():
    assert set(procession.__all__) == OWN | set(multiprocessing.__all__)
    assert len(procession.__all__) == len(set(procession.__all__)) and set(procession.__all__) <= set(dir(procession))
    for module in map(importlib.import_module, ("procession.pool", "procession._notices", "procession.shared_pools")):
        for name in OWN & set(dir(module)):
            assert getattr(procession, name) is getattr(module, name)
    assert issubclass(procession.OverMemory, procession.WorkerDied)


# Of these the module is what a child imports that is sent one, or that serves them: not all of managers, or reducers.
OF_THEIR_CHILDREN = {
    "managers": {"BaseManager", "BaseProxy", "SharedMemoryManager", "Token"},
    "reduction": {"DupFd", "recvfds", "sendfds"},
    "spawn": {"freeze_support", "get_executable", "set_executable"},
    "popen_fork": {"Popen"}, "popen_forkserver": {"Popen"}, "popen_spawn_posix": {"Popen"},
    "util": {
        "Finalize", "ForkAwareLocal", "ForkAwareThreadLock", "debug", "info", "register_after_fork", "sub_debug",
        "sub_warning", "warn",
    },
}  # fmt: skip


def test_what_programs_are_shown_is_of_a_module_for_them():
    """Tracebacks, `repr` and `help` name the module of a class or function: it is one that programs import."""
    shown = {"procession": procession}
    for path in procession.__path__:
        for name in {entry.removesuffix(".py") for entry in os.listdir(path)}:
            if name.isidentifier() and not name.startswith("_") and name not in ("cli", "joblib"):
                shown[name] = importlib.import_module(f"procession.{name}")
    assert len(shown) > 25
    for name, module in shown.items():
        for own in sorted({*getattr(module, "__all__", ())} - OF_THEIR_CHILDREN.get(name, set())):
            where = getattr(getattr(module, own), "__module__", None)
            assert not isinstance(where, str) or where == "_thread" or "._" not in where, f"{name}.{own}: {where}"
    for name in ("ApplyResult", "IMapIterator", "IMapUnorderedIterator", "MapResult", "RemoteTraceback"):
        assert getattr(procession.pool, name).__module__ == "procession.pool"
    assert procession.managers.RemoteError.__module__ == "procession.managers"


def test_each_constructor_is_one_of_clusters_too():
    """It would else make something of this machine for processes on others; pools find their crew by themselves."""
    from procession._cluster.contexts import ClusterContext
    from procession.context import Constructors

    made_here = {name for name in procession._METHODS if name[0].isupper() and hasattr(Constructors, name)}
    inherited = {name for name in made_here if getattr(ClusterContext, name) is getattr(Constructors, name)}
    assert inherited == {"Pool"} and len(made_here) > 15
    for name in made_here:
        assert "self._elsewhere is not None" in inspect.getsource(getattr(Constructors, name)), name


STAR = """
import sys
import types
from {library} import *
print(*sorted(set(globals()) & {own!r}))
print(*sys.modules)
"""


def test_the_package_has_no_public_values_but_those_it_exports():
    values = {
        name
        for name in vars(procession)
        if not name.startswith("_") and not isinstance(vars(procession)[name], types.ModuleType)
    }
    assert values <= {*procession.__all__, "SUBDEBUG", "SUBWARNING"}


def test_a_star_import_gives_all_names_and_loads_what_they_need_only():
    program = STAR.format(library="procession", own=OWN)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, modules = done.stdout.splitlines()
    assert set(names.split()) == OWN
    heavy = {"managers", "futures", "sharedctypes", "shared_memory", "dummy", "connection", "queues", "spawn"}
    assert {f"procession.{name}" for name in heavy} & set(modules.split()) == set()


def test_an_executor_loads_no_standard_multiprocessing_until_its_exception_is_wanted():
    program = """
import sys
from procession.futures import ProcessPoolExecutor

def loaded():
    return any(name.partition(".")[0] == "multiprocessing" for name in sys.modules)

with ProcessPoolExecutor(1) as executor:
    assert list(executor.map(abs, [-1])) == [1]
assert not loaded()
from procession.futures import BrokenProcessPool
from concurrent.futures.process import BrokenProcessPool as standard
assert BrokenProcessPool is standard and loaded()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("library", ["multiprocessing", "procession"])
def test_a_star_import_of_a_replaced_program_gives_the_standard_names(library):
    program = STAR.format(library=library, own=OWN | set(multiprocessing.__all__))
    command = [sys.executable, "-m", "procession", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[0].split()) == set(multiprocessing.__all__)


@pytest.mark.parametrize("name", SUBMODULES)
def test_what_the_standard_library_can_subscript_ours_can(name):
    theirs = importlib.import_module(f"multiprocessing.{name}")
    for class_name in getattr(theirs, "__all__", ()):
        if hasattr(getattr(theirs, class_name), "__class_getitem__"):
            assert getattr(importlib.import_module(f"procession.{name}"), class_name)[int].__args__ == (int,)
    assert procession.pool.AsyncResult[int].__args__ == procession.pool.MapResult[int].__args__ == (int,)


@pytest.mark.parametrize("name", SUBMODULES)
def test_a_submodule_is_an_attribute_and_lists_its_names(name):
    ours = procession
    for part in name.split("."):
        ours = getattr(ours, part)
    assert ours is importlib.import_module(f"procession.{name}")
    theirs = importlib.import_module(f"multiprocessing.{name}")
    assert set(getattr(theirs, "__all__", ())) - UNDOCUMENTED <= set(ours.__all__)
    for exported in ours.__all__:
        assert hasattr(ours, exported), exported


EVERY_MODULE = """
import importlib, multiprocessing, pkgutil, sys
found = [module.name for module in pkgutil.walk_packages(multiprocessing.__path__, "multiprocessing.")]
found = [name for name in found if not name.endswith("win32")]
if sys.argv[1] == "install":
    import procession
    procession.install()
for name in found:
    name = name.replace("multiprocessing", sys.argv[2])
    module = importlib.import_module(name)
    assert module.__name__.startswith("procession."), name
    assert sys.modules[name] is module, name
assert len(found) > 15
"""


@pytest.mark.parametrize("how", [("changed", "procession"), ("install", "multiprocessing"), ("install", "procession")])
def test_each_module_of_the_standard_library_can_be_imported(how):
    done = subprocess.run([sys.executable, "-c", EVERY_MODULE, *how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module, name", CLASSES, ids=lambda value: value)
def test_a_class_has_the_same_methods(module, name):
    ours = getattr(importlib.import_module(f"procession.{module}"), name)
    theirs = getattr(importlib.import_module(f"multiprocessing.{module}"), name)
    for method in dir(theirs):
        if method.startswith("_") or f"{name}.{method}" in UNDOCUMENTED:
            continue
        assert hasattr(ours, method), f"no {name}.{method}"
        if inspect.isfunction(inspect.getattr_static(theirs, method)):
            assert_called_alike(getattr(ours, method), getattr(theirs, method))


def test_submodules_are_imported_only_when_asked_for():
    program = "import sys, procession; print([name for name in sys.modules if name.startswith('procession.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "procession.managers" not in done.stdout
    assert "procession.pool" not in done.stdout


def test_the_executor_loads_the_modules_of_a_pool_only_when_one_is_made():
    program = "import procession; procession.install(); import concurrent.futures.process, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "procession.futures" in loaded
    assert not [name for name in loaded if name.startswith(("procession._children.", "procession._pool.w"))]


# What takes longer to load than a pool, and what a plain pool or process can do without.
DISPENSABLE = {
    "ast", "contextlib", "multiprocessing", "pickle", "re", "socket", "threading", "tokenize", "traceback", "typing",
}  # fmt: skip
PLAIN = """
import sys
import types
before = set(sys.modules)
import procession

if __name__ == "__main__":
    context = procession.get_context({method!r})
    with context.Pool(2) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]
    process = context.Process(target=print)
    process.start()
    process.join()
    assert process.exitcode == 0
    print(*set(sys.modules) - before)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_plain_pool_and_process_load_little(tmp_path, method):
    program = tmp_path / "plain.py"
    program.write_text(PLAIN.format(method=method))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert DISPENSABLE & set(done.stdout.split()) == set()


CHILD = """
import sys
import types
import procession

def tell(*_):
    print(*sys.modules, flush=True)

if __name__ == "__main__":
    context = procession.get_context({method!r})
    process = context.Process(target=tell)
    process.start()
    process.join()
    with context.Pool(1) as pool:
        pool.map(tell, [0])
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_that_does_nothing_loads_little(tmp_path, method):
    program = tmp_path / "child.py"
    program.write_text(CHILD.format(method=method))
    there = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()
    assert len(loaded) == 2
    dispensable = DISPENSABLE | {"functools", "logging", "signal", "threading"}
    for line in loaded:
        assert dispensable & set(line.split()) <= set(there.stdout.split())


LATE = """
import time
import procession

if __name__ == "__main__":
    with procession.get_context("fork").Pool(2) as pool:
        endless, late = pool.apply_async(time.sleep, (60,)), pool.apply_async(time.sleep, (60,), timeout=0.1)
        import multiprocessing
        for result, wait in (endless, 0), (late, None):
            try:
                result.get(wait)
            except multiprocessing.TimeoutError as error:
                print(type(error).__module__, type(error).__name__)
"""


def test_the_standard_classes_catch_ours_when_they_are_imported_later(tmp_path):
    program = tmp_path / "late.py"
    program.write_text(LATE)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout == "procession.context TimeoutError\nprocession TaskTimeout\n"


def test_a_process_is_started_by_fork_without_what_each_child_would_pay_for():
    program = """
import sys, procession
child = procession.get_context("fork").Process()
child.start()
child.join()
print([name for name in ("threading", "logging", "signal", "multiprocessing") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


IN_A_SUBINTERPRETER = """
import sys
import types
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
id = interpreters.create()
run = getattr(interpreters, "exec", interpreters.run_string)
run(id, f"import sys; sys.path[:] = {sys.path!r}" + '''
if sys.version_info < (3, 12):  # such interpreters load everything
    class Finder:
        def find_spec(name, path=None, target=None):
            if name == "procession._procession":
                raise ImportError(f"module {name} does not support loading in subinterpreters", name=name)
    sys.meta_path.insert(0, Finder)
try:
    import procession
except ImportError as error:
    print(error, error.name, flush=True)
''')
interpreters.destroy(id)
import procession
print(procession.Value("i", 5).value)
"""


def test_a_subinterpreter_is_told_that_it_is_one():
    done = subprocess.run([sys.executable, "-c", IN_A_SUBINTERPRETER], capture_output=True, text=True, timeout=60)
    assert "works in the main interpreter of a process only" in done.stdout and "procession._procession" in done.stdout
    assert done.stdout.endswith("\n5\n") and not done.stderr


# Not in `__all__` of the standard modules, and used by programs all the same.
ASKED_FOR = {
    "connection": (
        "BUFSIZE", "ConnectionWrapper", "SocketClient", "SocketListener", "XmlClient", "XmlListener", "address_type",
        "answer_challenge", "arbitrary_address", "deliver_challenge",
    ),
    "context": ("assert_spawning", "get_spawning_popen", "set_spawning_popen", "_tls", "_default_context"),
    "process": ("AuthenticationString", "_current_process", "_children"),
    "reduction": ("AbstractReducer", "DupFd", "ForkingPickler", "_rebuild_socket", "_reduce_socket"),
    "spawn": ("_main", "freeze_support", "get_command_line", "get_executable", "is_forking", "prepare"),
    "util": ("Finalize", "ForkAwareLocal", "_finalizer_registry", "_run_finalizers", "_exit_function"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED_FOR)
def test_what_programs_ask_a_submodule_for_is_there(name):
    theirs, ours = (importlib.import_module(f"{library}.{name}") for library in ("multiprocessing", "procession"))
    for asked in ASKED_FOR[name]:
        assert hasattr(theirs, asked) and hasattr(ours, asked), asked


# How many modules of the package are loaded at most: each costs a tenth of a millisecond, in workers each time. Those
# that are forked have what their parent has, which is to be all it needs: loading more copies pages that they share.
BUDGETS = {"fork": (41, 37), "spawn": (45, 22), "forkserver": (47, 32)}  # by a bare pool: its parent, its workers
OF_VARIABLES = {"watch", "reads", "variables", "generators"}  # loaded for functions that read some
IMPORT_BUDGET = 5
PIPE_BUDGET = 30  # modules of the interpreter included

COUNTING = """
import sys
import types
before = set(sys.modules)
import procession

def ours(*_):
    return [name for name in sys.modules if name.partition(".")[0] == "procession"]

if __name__ == "__main__":
    print(*ours())
    before |= set(sys.modules)
    if {method!r} == "pipe":
        procession.Pipe()
        print(*set(sys.modules) - before)
    else:
        with procession.get_context({method!r}).Pool(1) as pool:
            there = pool.map(ours, [0])[0]
            print(*ours())
            print(*there)
"""


def loaded_modules(directory, method):
    program = directory / "counting.py"
    program.write_text(COUNTING.format(method=method))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("method", BUDGETS)
def test_a_bare_pool_loads_no_more_of_the_package_than_it_may(tmp_path, method):
    imported, *places = loaded_modules(tmp_path, method)
    assert len(imported) <= IMPORT_BUDGET, imported
    for modules, budget in zip(places, BUDGETS[method], strict=True):
        assert len(modules) <= budget, f"{len(modules)} instead of {budget}: {sorted(modules)}"
    if method == "fork":
        assert {name.rpartition(".")[2] for name in set(places[0]) - set(places[1])} <= OF_VARIABLES


def test_a_pipe_loads_no_more_than_it_may(tmp_path):
    _, modules = loaded_modules(tmp_path, "pipe")
    assert len(modules) <= PIPE_BUDGET, sorted(modules)


def test_a_spawned_worker_loads_no_module_of_the_interpreter_that_it_can_do_without(tmp_path):
    program = tmp_path / "counting.py"
    program.write_text(
        "import sys, procession\n"
        "def loaded(_):\n"
        "    import gc\n"
        "    names = ['types', 'weakref', '_weakrefset', 'functools']\n"
        "    return [name for name in names if name in sys.modules], gc.isenabled()\n"
        "if __name__ == '__main__':\n"
        "    with procession.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.apply(loaded, (0,)))\n"
    )
    # Without `site`, whose .pth files may load anything.
    command = [sys.executable, "-S", program]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(procession.__file__))}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "([], True)\n"


def test_the_names_of_registries_are_those_that_are_used():
    from procession import util

    class Thing:
        pass

    process = procession.Process()
    thing = Thing()
    util.register_after_fork(thing, print)
    assert process in procession.process._dangling
    assert thing in util._afterfork_registry.values()
    gc.collect()  # what others left, which goes with the next collection
    before = len(procession.process._dangling), len(util._afterfork_registry)
    del process, thing
    gc.collect()
    assert len(procession.process._dangling) < before[0]
    assert len(util._afterfork_registry) == before[1] - 1
