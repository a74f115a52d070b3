"""Checks of a program by its text: what fails in children, and what wastes them."""

import ast
from collections.abc import Iterator

from procession.cli.doctor.finding import FAILS, HURTS, KNOW, Finding, Surroundings, check

_GENERATORS = ("default_rng", "RandomState", "Random", "Generator", "PRNGKey")
_OWNERS = ("numpy", "random", "torch", "jax")
_LOOPS = (ast.For, ast.While, ast.AsyncFor)


@check("main-guard", "program")
def main_guard(place: Surroundings) -> Iterator[Finding]:
    """Processes that are made where the file is imported."""
    for source in place.programs:
        if source.forks:
            continue
        starts = any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "start"
            for node in source.at_import()
        )
        for node in source.at_import():
            made = source.made_by(node) if isinstance(node, ast.Call) else ""
            if made and (made != "Process" or starts):
                yield Finding(
                    FAILS,
                    "main-guard",
                    f"{made} is called where the file is imported, as each child does: each would make its own again.",
                    'if __name__ == "__main__": around it',
                    f"{source.path}:{node.lineno}",
                )


@check("guarded-global", "program")
def guarded_global(place: Surroundings) -> Iterator[Finding]:
    """Variables that only the program itself has."""
    for source in place.programs:
        if source.forks:
            continue
        everywhere, guarded = _set_in(source.at_import()), _set_in(source.under_guard())
        said = set()
        for name in source.given():
            for variable, line in source.reads(name):
                if variable in guarded and variable not in everywhere and (name, variable) not in said:
                    said.add((name, variable))
                    yield Finding(
                        FAILS,
                        "guarded-global",
                        f"{name}() reads {variable}, which is set under the guard (line {guarded[variable]}): "
                        "workers do not "
                        "have it, unless they are forked.",
                        f"partial({name}, {variable}=...), initializer=, or pool.share(...)",
                        f"{source.path}:{line}",
                    )


def _set_in(nodes):
    """Return the names that are set at module level, with their lines."""
    found = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, node.lineno)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.setdefault(node.name, node.lineno)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                found.setdefault((alias.asname or alias.name).partition(".")[0], node.lineno)
    return found


@check("module-generator", "program")
def module_generator(place: Surroundings) -> Iterator[Finding]:
    """Random generators that are made where the file is imported."""
    for source in place.programs:
        made = {}
        for node in source.at_import():
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                full = source.full(node.value.func)
                if full.rpartition(".")[2] in _GENERATORS and full.partition(".")[0] in _OWNERS:
                    seeded = bool(node.value.args or node.value.keywords)
                    made |= {
                        target.id: (node.lineno, seeded) for target in node.targets if isinstance(target, ast.Name)
                    }
        for name in source.given():
            for variable, line in source.reads(name):
                if variable in made and (made[variable][1] or source.forks):
                    yield Finding(
                        HURTS,
                        "module-generator",
                        f"{name}() draws from {variable}, which each worker makes with the same state (line "
                        f"{made[variable][0]}): all draw the same numbers.",
                        "a generator for each item: default_rng([seed, number]); docs/random-numbers.md",
                        f"{source.path}:{line}",
                    )
                    made.pop(variable)


@check("fork", "program")
def fork(place: Surroundings) -> Iterator[Finding]:
    """The start method that copies locks and threads."""
    for source in place.programs:
        if source.forks:
            threads = "threading" in source.imports
            yield Finding(
                HURTS if threads else KNOW,
                "fork",
                "fork copies the locks that threads hold, without the threads, for all libraries"
                + (", and this program has threads." if threads else "."),
                'get_context("fork") for the pool that needs it, or the default',
                f"{source.path}:{source.forks}",
            )


@check("cpu-count", "program")
def cpu_count(place: Surroundings) -> Iterator[Finding]:
    """Numbers of workers that know no quota."""
    for source in place.programs:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call) or not source.made_by(node):
                continue
            given = [*node.args[:1], *(key.value for key in node.keywords if key.arg in ("processes", "max_workers"))]
            calls = [part for value in given for part in ast.walk(value) if isinstance(part, ast.Call)]
            if any(source.full(call.func).endswith("cpu_count") for call in calls):
                yield Finding(
                    KNOW,
                    "cpu-count",
                    "cpu_count() knows neither the quota of a container nor the affinity of this process.",
                    f"{source.made_by(node)}(), which knows both",
                    f"{source.path}:{node.lineno}",
                )


@check("lost-results", "program")
def lost_results(place: Surroundings) -> Iterator[Finding]:
    """Calls whose results nobody waits for before the pool is ended."""
    for source in place.programs:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.With):
                continue
            # Leaving an executor's block waits.
            calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
            if not any(source.made_by(call) in ("Pool", "shared_pool") for call in calls):
                continue
            names = [
                call.func.attr
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
            ]
            started = [name for name in names if name.endswith("_async")]
            if started and not {"get", "wait", "join"} & set(names):
                yield Finding(
                    HURTS,
                    "lost-results",
                    f"Nothing waits for {started[0]} in this block: leaving it ends what still runs.",
                    "get(), or close() and join(), at its end",
                    f"{source.path}:{node.lineno}",
                )


@check("pool-in-loop", "program")
def pool_in_loop(place: Surroundings) -> Iterator[Finding]:
    """Pools that are made again and again."""
    for source in place.programs:
        loops = [node for node in ast.walk(source.tree) if isinstance(node, _LOOPS)]
        inside = [node for loop in loops for part in loop.body for node in ast.walk(part) if isinstance(node, ast.Call)]
        called = {node.func.id for node in inside if isinstance(node.func, ast.Name)}
        within = [node for name in called & set(source.functions) for node in ast.walk(source.functions[name])]
        for node in [*inside, *(node for node in within if isinstance(node, ast.Call))]:
            if source.made_by(node) in ("Pool", "ProcessPoolExecutor"):
                yield Finding(
                    KNOW,
                    "pool-in-loop",
                    "A pool is made in each round of a loop: new processes, and their imports, each time.",
                    "one pool around the loop, or procession.shared_pool()",
                    f"{source.path}:{node.lineno}",
                )
                break
