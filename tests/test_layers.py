"""The order of the rooms: each may use what stands to its right, and unsafe code stays where it can be read."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = ROOT / "crates/procession/src"
BINDING = ROOT / "crates/procession-python/src"
PACKAGE = ROOT / "python/procession"

ROOMS = [
    "fuzzing",
    "face",
    "context",
    "manager",
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


def code_of(path):
    """The Rust file without its comments."""
    return re.sub(r"//[^\n]*", "", path.read_text())


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


def test_the_package_counts_on_no_call_that_an_interpreter_may_have_been_built_without():
    lacking = re.compile(
        r"\b(os|_?signal|fcntl|select|_?socket)"
        r"\.(pidfd_|memfd_|MFD_|eventfd|EFD_|P_PIDFD|waitid|CLD_|posix_(fallocate|spawn)|F_\w*SEAL|F_DUPFD|epoll|EPOLL|\w+_fds\b)"
    )
    for path in PACKAGE.rglob("*.py"):
        assert not lacking.search(path.read_text()), path


def test_the_binding_contains_unsafe_code_only_for_buffers_and_calls():
    for path in BINDING.rglob("*.rs"):
        if path not in (BINDING / "buffer.rs", BINDING / "fast.rs"):
            assert not UNSAFE.search(code_of(path)), path


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
