"""What a program's text says: imports, the guard, pools and what they are given. It is read, never run or imported."""

import ast
from collections.abc import Iterator
from typing import Any

__all__ = ["MAPS", "POOLS", "ProgramText", "read"]

# What makes processes, by its names in the modules and contexts of `multiprocessing` and `concurrent.futures`.
POOLS = {"Pool", "ProcessPoolExecutor", "Manager", "SyncManager", "shared_pool"}
# The methods that take a function first.
MAPS = {
    "map",
    "imap",
    "imap_unordered",
    "starmap",
    "map_async",
    "starmap_async",
    "apply",
    "apply_async",
    "submit",
}
_PROCESSES = ("multiprocessing", "procession", "multiprocess", "billiard", "concurrent", "torch")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def read(path: str) -> "ProgramText":
    """Return the `ProgramText` of a file.

    Raises:
        OSError: it cannot be read.
        SyntaxError: it is no Python.
    """
    with open(path, "rb") as file:
        return ProgramText(str(path), ast.parse(file.read(), str(path)))


class ProgramText:
    """A program as its text says.

    Attributes:
        path: of the file.
        tree: the parsed module.
        imports, lines: the top names of modules that it imports, and where.
        forks: the line that asks for the start method fork, or 0.
        spawns: whether it asks for another.
        patches: where gevent and eventlet patch at import.
        cuda: the line that uses CUDA at import, or 0.
        hashes_texts: the line that calls `hash` in a function, where children are spawned, or 0.
        guard: the `if __name__ == "__main__"` statements.
        makers: the names that make pools: `Pool`, `mp.Pool`, as dotted texts.
        functions: the functions at module level by their names.
    """

    def __init__(self, path, tree):
        self.path, self.tree = path, tree
        self.lines, self.modules, self.makers = {}, {}, {}
        self.forks = self.cuda = self.hashes_texts = 0
        self.spawns = False
        self.patches = {}
        self.guard = [node for node in tree.body if _is_guard(node)]
        self.functions = {node.name: node for node in tree.body if isinstance(node, _FUNCTIONS[:2])}
        for node in ast.walk(tree):
            self._note_import(node)
        self.imports = set(self.lines)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self._note_call(node)
        for node in self.at_import():
            self._note_at_import(node)
        if self.spawns:
            self.hashes_texts = self._hash_call()

    def _hash_call(self):
        own = [node for node in ast.walk(self.tree) if isinstance(node, _FUNCTIONS[:2]) and node.name == "__hash__"]
        within = {part for node in own for part in ast.walk(node)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and node not in within and self.full(node.func) == "hash":
                return node.lineno
        return 0

    def _note_import(self, node):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self.lines.setdefault(top, node.lineno)
                self.modules[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            self.lines.setdefault(node.module.partition(".")[0], node.lineno)
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                self.modules[alias.asname or alias.name] = name
                if alias.name in POOLS | {"Process"} and _makes_processes(node.module):
                    self.makers[alias.asname or alias.name] = alias.name

    def full(self, node: ast.expr) -> str:
        """Return the dotted name of an expression with the imports' names in place, or an empty text."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.modules.get(node.id, node.id), *reversed(parts)])

    def made_by(self, call: ast.Call) -> str:
        """Return what a call makes, such as "Pool" or "Process", or an empty text if that is none of processes."""
        function = call.func
        if isinstance(function, ast.Name):
            return self.makers.get(function.id, "")
        if not isinstance(function, ast.Attribute) or function.attr not in POOLS | {"Process"}:
            return ""
        owner = function.value
        if isinstance(owner, ast.Call):
            return function.attr if self.full(owner.func).endswith("get_context") else ""
        full = self.full(owner)
        if full.partition(".")[0] in _PROCESSES:
            return function.attr if _makes_processes(full) else ""
        # A context that was put into a variable.
        return function.attr if self._is_context(full) else ""

    def _is_context(self, name):
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                targets = {target.id for target in node.targets if isinstance(target, ast.Name)}
                if name in targets and self.full(node.value.func).endswith("get_context"):
                    return True
        return False

    def _note_call(self, call):
        name = self.full(call.func).rpartition(".")[2]
        if name in ("set_start_method", "get_context") and call.args and isinstance(call.args[0], ast.Constant):
            if call.args[0].value == "fork":
                self.forks = self.forks or call.lineno
            elif call.args[0].value in ("spawn", "forkserver"):
                self.spawns = True

    def _note_at_import(self, node):
        if isinstance(node, ast.Call):
            full = self.full(node.func)
            library = full.partition(".")[0]
            if library in ("gevent", "eventlet") and full.rpartition(".")[2] in ("patch_all", "monkey_patch"):
                self.patches[library] = node.lineno
            to_cuda = full.endswith(".cuda") or full.startswith("torch.cuda.") or self._goes_to_cuda(node)
            if "torch" in self.imports and to_cuda and not full.endswith("is_available"):
                self.cuda = self.cuda or node.lineno

    def _goes_to_cuda(self, call):
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        return any(isinstance(value, ast.Constant) and str(value.value).startswith("cuda") for value in values)

    def at_import(self) -> Iterator[Any]:
        """Yield the nodes that run when the file is imported: outside of functions and of the guard."""
        yield from _outside(node for node in self.tree.body if node not in self.guard)

    def under_guard(self) -> Iterator[Any]:
        """Yield the nodes that run only where the file is the program."""
        for guard in self.guard:
            yield from _outside(guard.body)

    def given(self) -> Iterator[str]:
        """Yield the names of the module's functions that processes and pools are given."""
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Call):
                continue
            wanted = []
            if isinstance(node.func, ast.Attribute) and node.func.attr in MAPS:
                wanted = node.args[:1]
            elif self.made_by(node):
                wanted = [keyword.value for keyword in node.keywords if keyword.arg in ("target", "initializer")]
            for value in wanted:
                if isinstance(value, ast.Call) and self.full(value.func).endswith("partial") and value.args:
                    value = value.args[0]
                if isinstance(value, ast.Name) and value.id in self.functions:
                    yield value.id

    def reads(self, name: str, seen: set[str] | None = None) -> Iterator[tuple[str, int]]:
        """Yield `(variable, line)` of what a function reads of its module, also by functions that it calls.

        Args:
            name: of the function.
            seen: the names of the functions that have been read before, which are not read again.
        """
        seen = {name} if seen is None else seen
        function = self.functions[name]
        local = _assigned(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in local:
                yield node.id, node.lineno
                if node.id in self.functions and node.id not in seen:
                    seen.add(node.id)
                    yield from self.reads(node.id, seen)


def _makes_processes(module):
    return module.partition(".")[0] in _PROCESSES and ".dummy" not in module and "thread" not in module


def _is_guard(node):
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [node.test.left, *node.test.comparators]
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    texts = {side.value for side in sides if isinstance(side, ast.Constant)}
    return "__name__" in names and "__main__" in texts


def _outside(statements):
    """Yield the nodes of statements that are in no function; of a class's methods, too, only what runs at once."""
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _FUNCTIONS):
            waiting += getattr(node, "decorator_list", [])
            continue
        waiting += ast.iter_child_nodes(node)


def _assigned(function):
    """Return the names that are a function's own."""
    everywhere = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    arguments = function.args
    names = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    names |= {one.arg for one in (arguments.vararg, arguments.kwarg) if one is not None}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node is not function:
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names - everywhere
