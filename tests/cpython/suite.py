"""Finds the interpreter's test files and makes a temporary package `test` of them, in which ours is what is tested."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

METHODS = ("fork", "spawn", "forkserver")
RUNNER = Path(__file__).with_name("runner.py")

# The one file for all start methods, the files that it runs as programs, and what we write beside it for each method.
_COMMON = "_test_multiprocessing"
_BESIDE = ("test_multiprocessing_main_handling.py", "mp_*.py")
_FOR_METHOD = (
    "from test.{common} import install_tests_in_module_dict\ninstall_tests_in_module_dict(globals(), '{method}')\n"
)

# The name stays `multiprocessing` within a file; where it comes from changes, in programs within strings too.
_CHANGES = [
    (re.compile(r"\bfrom multiprocessing(?=[.\w]* import\b)"), "from procession"),
    (re.compile(r"\bimport multiprocessing((?:\.\w+)+)(?= as\b)"), r"import procession\1"),
    (re.compile(r"\bimport multiprocessing((?:\.\w+)+)"), r"import procession\1; import procession as multiprocessing"),
    (re.compile(r"\bimport multiprocessing(?= as\b)"), "import procession"),
    (re.compile(r"\bimport multiprocessing\b(?!\.)"), "import procession as multiprocessing"),
    # Names of modules, for `patch` and `__import__`.
    (re.compile(r"""(?<=['"])multiprocessing(?=\.)"""), "procession"),
    (re.compile(r"""(?<=append\(['"])multiprocessing(?=['"]\))"""), "procession"),
]  # fmt: skip


class NoTests(Exception):
    """The interpreter came without its test files."""


def test_folders(python):
    """Return the folders where the test files of an interpreter may be."""
    program = "import sysconfig, sys; print(sysconfig.get_path('stdlib')); print('%d.%d' % sys.version_info[:2])"
    library, version = subprocess.run(
        [python, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    folders = [Path(library, "test"), Path(f"/usr/lib/python{version}/test")]
    return [folder for folder in folders if folder.is_dir()]


def prepare(folder, python, standard=False):
    """Fill `folder` with the package `test`, with ours and with what ours needs.

    Args:
        folder: an empty folder.
        python: the interpreter whose tests are taken.
        standard: whether the tests stay as they are, to run against the standard library itself.

    Returns:
        A list of (name, module): what the tests of a module are called here, and the module.

    Raises:
        NoTests: there are no test files.
    """
    folders = test_folders(python)
    common = _find(folders, f"{_COMMON}.py")
    if not common:
        raise NoTests(
            f"{python} came without its tests of multiprocessing: nothing is run. Take an interpreter that has them, "
            "or install them (Debian: libpython3.11-testsuite)"
        )
    package = Path(folder, "test")
    package.mkdir()
    # `test.support` and the like stay the interpreter's.
    (package / "__init__.py").write_text(f"__path__ += {[str(f) for f in folders]!r}\n")
    modules = []
    changes = [] if standard else _CHANGES
    change(common[0], package, changes)
    for method in METHODS:
        (package / f"for_{method}.py").write_text(_FOR_METHOD.format(common=_COMMON, method=method))
        modules.append((method, f"test.for_{method}"))
    for pattern in _BESIDE:
        for path in _find(folders, pattern):
            change(path, package, changes)
    modules.append(("main", "test.test_multiprocessing_main_handling"))
    modules += [("executor", module) for module in _executor_modules(folders, package, changes)]
    for name in ("procession", "cloudpickle"):
        # Some tests run interpreters that look nowhere else.
        Path(folder, name).symlink_to(importlib.util.find_spec(name).submodule_search_locations[0])
    Path(folder, "runner.py").write_text(RUNNER.read_text())
    return modules


def _executor_modules(folders, package, changes):
    """Change the tests of `concurrent.futures`, where they are installed; return the modules with them."""
    found = _find(folders, "test_concurrent_futures.py") or _find(folders, "test_concurrent_futures")
    if not found:
        return []
    if found[0].is_file():
        change(found[0], package, changes)
        return ["test.test_concurrent_futures"]
    inner = package / found[0].name
    inner.mkdir()
    for path in sorted(found[0].glob("*.py")):
        change(path, inner, changes)
    return [f"test.{inner.name}.{path.stem}" for path in sorted(inner.glob("test_*.py"))]


def _find(folders, pattern):
    """Return the files of the first folder that has any."""
    return next((found for folder in folders if (found := sorted(folder.glob(pattern)))), [])


def change(path, into, changes=_CHANGES):
    text = path.read_text(encoding="utf-8")
    for pattern, ours in changes:
        text = pattern.sub(ours, text)
    (into / path.name).write_text(text, encoding="utf-8")


def list_tests(folder, python, modules):
    """Return the tests of the modules by class: {(name, module, class): [id]}; an id is `name/Class.test`."""
    request = json.dumps({"list": [module for _, module in modules]})
    answer = subprocess.run(
        [python, "runner.py", request], cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300
    )
    if answer.returncode:
        sys.exit(f"the tests cannot be listed:\n{answer.stderr}")
    tests = json.loads(answer.stdout.splitlines()[-1])
    classes = {}
    for name, module in modules:
        for test in tests[module]:
            cls = test.partition(".")[0]
            if name == "executor" and not cls.startswith(("ProcessPool", "FailingInitializerResources")):
                continue  # threads, or not an executor at all
            classes.setdefault((name, module, cls), []).append(f"{name}/{test}")
    return classes


def environment(folder, **more):
    """Return the environment of a process that runs tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **more}
