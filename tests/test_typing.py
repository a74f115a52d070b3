"""What a type checker makes of programs: the types that it finds, the mistakes that it refuses; and of the package."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
PACKAGE = ROOT / "python" / "procession"

pytestmark = pytest.mark.timeout(330)  # for a run of mypy, which is given 300 s


def run_mypy(*arguments):
    """Return the errors that mypy finds, as {(file, line): kind}, and its whole output."""
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--strict", "--no-incremental", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    found = re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", result.stdout, re.MULTILINE)
    return {(Path(file).name, int(line)): kind for file, line, kind in found}, result.stdout


def test_types_are_found_and_mistakes_refused():
    wanted = {}
    for number, line in enumerate((HERE / "typing" / "refused.py").read_text().splitlines(), 1):
        if "# refused: " in line:
            wanted["refused.py", number] = line.rpartition("# refused: ")[2]
    assert len(wanted) > 25
    found, output = run_mypy("tests/typing/accepted.py", "tests/typing/refused.py")
    assert found == wanted, output


MISTAKE = """

def _mistaken():
    x: int = "wrong"
    return x
"""


def test_a_mistake_in_any_module_of_the_package_is_refused(tmp_path):
    """As `scripts/check` runs mypy, in a copy in which each module has one."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "python" / "procession", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    modules = [path for path in (tmp_path / "python" / "procession").rglob("*.py") if "-" not in path.name]
    for path in modules:
        path.write_text(path.read_text() + MISTAKE)
    assert "step mypy\n" in (ROOT / "scripts" / "check").read_text()
    result = subprocess.run([sys.executable, "-m", "mypy"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1, result.stdout + result.stderr
    found = re.findall(
        r'^(\S+):\d+: error: Incompatible types in assignment .*"str".*"int"', result.stdout, re.MULTILINE
    )
    assert sorted(found) == sorted(str(path.relative_to(tmp_path)) for path in modules)
    assert len(result.stdout.splitlines()) == len(modules) + 1, result.stdout


def test_the_compiled_module_alone_has_a_stub():
    assert [path.name for path in PACKAGE.rglob("*.pyi")] == ["_procession.pyi"]


def untyped(body, of_a_class=False):
    """The functions without an underscore, of modules and classes, of which a type is not written."""
    overloaded = {
        inner.name for node in body if isinstance(node, ast.If) for inner in node.body if hasattr(inner, "name")
    }
    for node in body:
        if getattr(node, "name", "_").startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            yield from untyped(node.body, True)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name not in overloaded:
            given = [*node.args.posonlyargs, *node.args.args]
            if of_a_class and not any(
                getattr(decorator, "id", "") == "staticmethod" for decorator in node.decorator_list
            ):
                given = given[1:]
            given += [*node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
            if node.returns is None or any(argument.annotation is None for argument in given):
                yield node.name


def test_what_is_for_programs_has_types():
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if not any(part.startswith("_") and part != "__init__" for part in parts):
            assert not list(untyped(ast.parse(path.read_text()).body)), path


def test_what_only_checkers_read_is_not_loaded():
    """All modules of the package are imported but those, and programs and what needs a library."""
    paths = [path.relative_to(PACKAGE.parent).with_suffix("").parts for path in PACKAGE.rglob("*.py")]
    apart = {"_typed", "__pyinstaller", "__main__", "_forkserver_main", "joblib", "dask", "mpi", "ray"}
    names = sorted(".".join(parts).removesuffix(".__init__") for parts in paths if not apart & set(parts))
    assert len(names) > 90
    program = "import sys; [__import__(name) for name in sys.argv[1:]]; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert set(names) <= set(loaded)
    assert not [name for name in loaded if name.startswith("procession._typed")]


def test_what_is_for_checkers_alone_has_no_block_of_code():
    """Under `TYPE_CHECKING` stand imports and names of types: functions and classes there would be loaded, too."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                for inner in node.body:
                    assert not isinstance(inner, (ast.ClassDef, ast.FunctionDef)), f"{path}:{inner.lineno}"


def test_no_module_loads_another_for_its_types():
    """`from __future__ import annotations` would load `__future__` in each process: types are in quotes instead."""
    for path in PACKAGE.rglob("*.py"):
        for statement in ast.walk(ast.parse(path.read_text())):
            assert getattr(statement, "module", None) != "__future__", path


def test_checkers_see_the_names_of_the_package():
    """What stands in `_typed/package.py` for them is what is there at run time."""
    seen = set()
    # The submodules stand in the package itself, for checkers alone.
    [shown] = [
        statement
        for statement in ast.parse((PACKAGE / "__init__.py").read_text()).body
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
    ]
    for statement in [*shown.body, *ast.parse((PACKAGE / "_typed" / "package.py").read_text()).body]:
        if isinstance(statement, ast.ImportFrom):
            seen |= {alias.asname for alias in statement.names if alias.asname}
        elif isinstance(statement, ast.Assign):
            seen |= {target.id for target in statement.targets}
    names_of = "print('reducer', *p._METHODS, *p._EXCEPTIONS, *p._OWN)"
    program = f"import procession as p; print(*p.__all__); print(*p._SUBMODULES); {names_of}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, submodules, at_run_time = (set(line.split()) for line in done.stdout.splitlines())
    assert names == at_run_time
    assert seen == names | submodules
