"""The order of the rooms: each uses only those below it, and unsafe code stays where it can be read."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from rust_sources import code_of, functions_in, modules_of, uses_of

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "crates/procession/src"
BINDING = ROOT / "crates/procession-python/src"
PACKAGE = ROOT / "python/procession"

ROOMS = [
    "fuzzing",
    "face",
    "pool",
    "process",
    "function",
    "channel",
    "sync",
    "shared_memory",
    "primitive",
    "platform",
    "error",
]
UNSAFE = re.compile(r"\bunsafe\s*(\{|fn|impl|trait|extern)")


def rooms_used(code):
    """The rooms that `crate::room` and `crate::{room::..., room}` name."""
    yield from re.findall(r"\bcrate::(\w+)", code)
    for start in re.finditer(r"\bcrate::\{", code):
        depth, flat = 1, ""
        for character in code[start.end() :]:
            depth -= character == "}"
            if depth == 0:
                break
            flat += character if depth == 1 else ""
            depth += character == "{"
        yield from (part.partition("::")[0].strip() for part in flat.split(","))


def engine_files():
    """The engine's files, each with its room."""
    for path in sorted(ENGINE.rglob("*.rs")):
        room = path.relative_to(ENGINE).parts[0].removesuffix(".rs")
        if room != "lib":
            yield pytest.param(path, room, id=str(path.relative_to(ENGINE)))


@pytest.mark.parametrize("path, room", list(engine_files()))
def test_a_room_uses_only_what_stands_to_its_right(path, room):
    assert room in ROOMS, f"{room} is not in the order of the rooms"
    wrong = {used for used in rooms_used(code_of(path)) if used in ROOMS and ROOMS.index(used) < ROOMS.index(room)}
    assert not wrong, f"{room} uses {wrong}, which stand to its left"


@pytest.mark.parametrize("path, room", list(engine_files()))
def test_only_two_rooms_contain_unsafe_code(path, room):
    if room != "platform" and path != ENGINE / "shared_memory/words.rs":
        assert not UNSAFE.search(code_of(path))


def test_only_the_platform_room_calls_the_system():
    for path in ENGINE.rglob("*.rs"):
        if path.relative_to(ENGINE).parts[0] != "platform":
            assert not re.search(r"\b(libc|rustix)::(?!io::)", code_of(path)), path


def test_what_a_process_is_told_at_its_start_is_asked_of_the_c_library():
    """rustix reads the auxiliary vector itself, where valgrind has the addresses of its own program."""
    found = [
        f"{path.name}: {use}"
        for path in ENGINE.rglob("*.rs")
        for use in re.findall(r"rustix::(?:param|time::clock|time::\{[^}]*clock)\w*", code_of(path))
    ]
    assert found == []
    features = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["dependencies"]["rustix"]["features"]
    assert "param" not in features


def test_limits_are_asked_for_in_a_way_that_may_fail():
    """rustix takes it for granted that `getrlimit` cannot fail, which it does where a filter refuses the call."""
    found = [
        path.name
        for path in ENGINE.rglob("*.rs")
        if re.search(r"\bgetrlimit\b", code_of(path).replace("libc::getrlimit", ""))
    ]
    assert found == []


def test_the_package_counts_on_no_call_that_an_interpreter_may_have_been_built_without():
    lacking = re.compile(
        r"\b(os|_?signal|fcntl|select|_?socket)"
        r"\.(pidfd_|memfd_|MFD_|eventfd|EFD_|P_PIDFD|waitid|CLD_|posix_(fallocate|spawn)|F_\w*SEAL|F_DUPFD|epoll|EPOLL|\w+_fds\b)"
    )
    for path in PACKAGE.rglob("*.py"):
        assert not lacking.search(path.read_text()), path


def test_the_binding_contains_unsafe_code_only_for_buffers_and_calls():
    for path in BINDING.rglob("*.rs"):
        inside = path.relative_to(BINDING)
        if str(inside) not in ("memory/buffer.rs", "memory/lent.rs", "fast.rs") and inside.parent.name != "arrow":
            assert not UNSAFE.search(code_of(path)), path


# The rooms of the binding: each uses those of the lines above its own, and itself.
BINDING_LAYERS = [
    "error fast package wait",
    "memory",
    "objects",
    "values",
    "in_common",
    "shared processes seeing",
    "pool worker",
    "trial",
]
BINDING_FILES = modules_of(BINDING)


def binding_level(module):
    """The place of a module's room, from the bottom."""
    return next(level for level, rooms in enumerate(BINDING_LAYERS) if module.partition("::")[0] in rooms.split())


def test_a_file_of_the_binding_uses_only_its_room_and_those_below():
    for name in set(BINDING_FILES) - {"lib"}:
        room, level = name.partition("::")[0], binding_level(name)
        others = {used for used in uses_of(name, BINDING_FILES) if used.partition("::")[0] != room}
        wrong = {used for used in others if level > 0 and binding_level(used) >= level}
        assert not wrong, f"{name} uses {wrong}, which do not stand below it"


@pytest.mark.parametrize("root, rooms", [(BINDING, None), (ENGINE, ["face"])], ids=["binding", "face"])
def test_no_two_rust_files_use_each_other(root, rooms):
    files = modules_of(root)
    arrows = {name: set(uses_of(name, files)) for name in files}
    found = [circle for circle in circles(arrows) if rooms is None or circle[0].partition("::")[0] in rooms]
    assert not found, f"circles: {found}"


# Functions that need more than 60 lines, each for a reason.
LONG_FUNCTIONS = {
    # A branch for each kind of value, in the order of how often they come: the first that fits is the one.
    ("values/short.rs", "encode_at"),
    # A branch for each tag, as short as it can be.
    ("values/parts.rs", "read"),
    # One seed a line, as they are bytes.
    ("fuzzing/seeds.rs", "seeds"),
}
MOST_LINES, MOST_LINES_OF_A_FILE = 60, 500


def test_functions_are_short():
    for root in (BINDING, ENGINE):
        for path in root.rglob("*.rs"):
            long = {(str(path.relative_to(root)), name) for name, lines in functions_in(path) if lines > MOST_LINES}
            assert long <= LONG_FUNCTIONS or "tests" in path.stem, f"longer than {MOST_LINES} lines: {long}"
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert node.end_lineno - node.lineno < MOST_LINES, f"{path} has a long function, {node.name}"


def test_a_long_file_says_at_its_head_why():
    for path in (*BINDING.rglob("*.rs"), *ENGINE.rglob("*.rs"), *PACKAGE.rglob("*.py")):
        text = path.read_text()
        if text.count("\n") > MOST_LINES_OF_A_FILE:
            assert "A long file: " in text[:3000], f"{path} is long: split it, or say why at its head"


def test_published_builds_have_no_hook_for_tests():
    features = tomllib.loads((BINDING.parent / "Cargo.toml").read_text())["features"]
    assert features["trial"] == [] and "default" not in features
    assert "features" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["maturin"]
    for line in re.findall(r"(.*\n)[^\n]*\btrial(?:;|::)", (BINDING / "lib.rs").read_text()):
        assert line.strip() == '#[cfg(feature = "trial")]'


def test_each_kind_of_error_becomes_an_exception_in_one_place():
    kinds = re.search(r"pub enum ErrorKind \{(.*?)\n\}", code_of(ENGINE / "error.rs"), re.S)
    mapping = code_of(BINDING / "error.rs")
    for kind in re.findall(r"(\w+),", kinds.group(1)):
        assert f"ErrorKind::{kind}" in mapping, f"error.rs of the binding does not say which exception {kind} is"
    for path in BINDING.rglob("*.rs"):
        makes_one = re.search(r"fn \w+\(\w+: (?:procession::)?Error\) -> PyErr", code_of(path))
        assert not makes_one or path == BINDING / "error.rs", f"{path} has a mapping of its own"


def modules():
    """The package's Python modules, each with the modules it imports when it is imported itself."""
    for path in PACKAGE.rglob("*.py"):
        parts = ("procession", *path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        yield name, list(imported(ast.parse(path.read_text()).body))


def imported(statements):
    """The modules that statements outside functions import."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, (ast.If, ast.Try, ast.With)):
            nested = [*statement.body, *getattr(statement, "orelse", [])]
            type_checking = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test)
            yield from () if type_checking else imported(nested)


def test_no_module_needs_itself_to_be_imported():
    """Imports at the head of modules form no circle; what would is imported where it is used."""
    names = dict(modules())
    needs = {
        name: {known for known in names for used in uses if known in (used, used.rpartition(".")[0]) and known != name}
        for name, uses in names.items()
    }
    needs = {name: uses - {"procession"} for name, uses in needs.items()}
    while free := [name for name, uses in needs.items() if not uses & set(needs)]:
        for name in free:
            del needs[name]
    assert not needs, f"a circle of imports: {needs}"


# -- the rooms of the package ---------------------------------------------------------------------------------------

# Each layer may use itself and those above it in this list. What has no underscore is for programs: the modules of
# `multiprocessing`, and those that the documentation names. What has one is a module or a room of our own.
LAYERS = {
    "ground": "_procession _standard _standard_executor _exceptions _late_exceptions _checks _settings _logs _finalize "
    "_notices _no_threads _around _green",
    "process": "process util _drop_in",
    "objects": "reduction _objects",
    "children": "spawn forkserver resource_tracker _children",
    "shared": "connection resource_sharer synchronize queues heap sharedctypes shared_memory neutral _shared",
    "pool": "pool _pool _progress",
    "managers": "managers _manager",
    "report": "_report",
    "faces": "context shared_pools scopes futures joblib _reducing dummy telemetry popen_fork popen_forkserver "
    "popen_spawn_posix",
    "clusters": "_cluster",
    "tests": "testing _testing",
    "entries": "__init__ __main__ cli mpi _forkserver_main _rust_worker __pyinstaller",
    "checkers": "_typed",
}
# Imports that lead up or around all the same, each for a reason.
DOORS = {
    # A descriptor in a pickle for no child in particular waits for its receiver with a server, which needs connections.
    ("procession._objects.descriptors", "procession.resource_sharer"),
    # Tools wrap the method of process objects that runs in the child; there it leads to what children do.
    ("procession.process", "procession._children.child"),
    # A proxy that arrives is made by its class or by the function of that name, which programs register in `managers`.
    ("procession._manager.proxy", "procession.managers"),
}
LARGEST_CIRCLE = 2  # files that are two halves of one thing
LEVELS = list(LAYERS)


def level_of(name):
    """The place of a module's layer, from the bottom."""
    top = name.split(".")[1] if "." in name else "__init__"
    return next(level for level, layer in enumerate(LEVELS) if top in LAYERS[layer].split())


def package_files():
    """The package's modules by name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("procession", *path.relative_to(PACKAGE).with_suffix("").parts)
        if "-" not in path.name:
            yield ".".join(parts).removesuffix(".__init__"), path


FILES = dict(package_files())


def imports_of(name):
    """The modules of the package that one imports, at its head or in a function, but not for type checkers."""
    waiting = [ast.parse(FILES[name].read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports by a relative name"
            wanted = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in wanted:
            if full.partition(".")[0] == "procession" and not full.startswith("procession._procession"):
                yield full if full in FILES else full.rpartition(".")[0]


ARROWS = {name: set(imports_of(name)) - {name} for name in FILES}


def circles(arrows):
    """The groups of modules of which each imports, directly or not, each other one."""

    def reached(start):
        seen, waiting = set(), [start]
        while waiting:
            for following in arrows[waiting.pop()] - seen:
                seen.add(following)
                waiting.append(following)
        return seen

    all_reached = {name: reached(name) for name in arrows}
    groups = {frozenset(n for n in all_reached[name] if name in all_reached[n]) for name in arrows}
    return [sorted(group) for group in groups if len(group) > 1]


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_only_from_its_layer_and_those_below(name):
    above = {used for used in ARROWS[name] if level_of(used) > level_of(name) and (name, used) not in DOORS}
    assert not above, f"{name} is of the layer {LEVELS[level_of(name)]} and imports {above}, which stand above it"


def test_imports_form_no_circle_even_those_in_functions():
    arrows = {name: {used for used in uses if (name, used) not in DOORS} for name, uses in ARROWS.items()}
    large = [circle for circle in circles(arrows) if len(circle) > LARGEST_CIRCLE]
    assert not large, f"circles of imports: {large}"


def test_each_door_is_one():
    for name, used in DOORS:
        assert used in ARROWS[name], f"{name} does not import {used} any more"
        assert level_of(used) >= level_of(name)


def test_the_names_of_the_package_are_those_of_the_layers():
    there = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    there |= {path.stem for path in PACKAGE.glob("*.py")} | {"_procession"}
    assert there == {name for layer in LAYERS.values() for name in layer.split()}


def test_a_room_is_no_module_that_has_to_be_read():
    for path in PACKAGE.glob("_*/__init__.py"):
        if path.parent.name.startswith("__"):
            continue
        (statement,) = ast.parse(path.read_text()).body
        assert isinstance(statement, ast.Expr), f"{path} holds more than a docstring, and each import pays for it"


def test_the_modules_that_are_named_in_texts_exist():
    """What is looked for in `sys.modules`, imported by its name, or run by a child's command line."""
    for name, path in FILES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(r"procession(\.\w+)+", node.value):
                    assert node.value in FILES or node.value == "procession._procession", f"{name} names {node.value}"
            elif (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", getattr(node.func, "id", "")) == "command_line"
            ):
                assert f"procession.{node.args[0].value}" in FILES, f"{name} runs {node.args[0].value}"


def test_the_modules_that_the_binding_names_exist():
    named = re.findall(r'"(procession[.\w]*)"', (BINDING / "package.rs").read_text())
    assert named and set(named) <= set(FILES)
    for path in BINDING.rglob("*.rs"):
        if path.name != "package.rs":
            elsewhere = set(re.findall(r'"(procession\.[.\w]+)"', code_of(path))) - {"procession._procession"}
            assert not elsewhere, f"{path} names {elsewhere}, which belong in package.rs"


def test_what_the_binding_calls_of_a_pool_is_there_and_in_the_architecture():
    text = "".join(code_of(path) for path in BINDING.rglob("*.rs"))
    called = set(re.findall(r'support(?:\.bind\(py\))?\.(?:call_method[01]|getattr)\("(\w+)"', text))
    called |= set(re.findall(r'"((?:kill|interrupt)_worker|worker_\w+)"', text))  # by a variable
    assert len(called) > 15
    methods = set()
    for name in ("procession._pool.crew", "procession._pool.worker"):
        for node in ast.walk(ast.parse(FILES[name].read_text())):
            if isinstance(node, ast.ClassDef) and node.name in ("Crew", "Portable"):
                methods |= {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)}
                methods |= {inner.targets[0].id for inner in node.body if isinstance(inner, ast.Assign)}
                methods |= {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
    assert called <= methods, called - methods
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## What the binding decides")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", section.partition("a `Crew`, the binding calls")[2]))
    assert called == listed - {"Portable"}


def test_the_architecture_has_a_place_for_each_module_of_ours():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for name, path in FILES.items():
        room, _, stem = name.removeprefix("procession.").rpartition(".")
        if path.stem != "__init__" and room != "_manager" and (room or stem).startswith("_"):
            assert f"`{stem}`" in text, f"ARCHITECTURE.md does not say where {name} belongs"


def test_the_files_that_the_pages_for_newcomers_name_are_there():
    roots = [ROOT, ENGINE, BINDING, PACKAGE]
    for page in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
        for name in re.findall(r"`([\w./-]+\.(?:rs|pyi?|md|toml))`", (ROOT / page).read_text()):
            assert "NAME" in name or any((root / name).exists() for root in roots), f"{page} names {name}"
