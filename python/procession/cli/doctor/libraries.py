"""Checks of libraries that start threads, patch others, or do not survive a fork."""

import re
from collections.abc import Iterator

from procession.cli.doctor.finding import HURTS, KNOW, Finding, Surroundings, check
from procession.cli.doctor.machine import workers_of

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)


@check("math-threads", "libraries")
def math_threads(place: Surroundings) -> Iterator[Finding]:
    """Variables that give each worker as many threads as there are CPUs."""
    workers = workers_of(place)
    for name in _THREADS:
        try:
            threads = int(place.environ[name])
        except (KeyError, ValueError):
            continue
        if threads > 1 and threads * workers > workers:
            yield Finding(
                HURTS,
                "math-threads",
                f"{name}={threads} is set, so procession leaves it: {workers} workers will run "
                f"{threads * workers} threads "
                f"on {workers} CPU{'' if workers == 1 else 's'}.",
                f"unset {name}",
            )


@check("versions", "libraries")
def versions(place: Surroundings) -> Iterator[Finding]:
    """Libraries of extras, in versions that were not tried with this one."""
    for line in place.required:
        need = re.match(r"([\w.-]+)\s*([^;]*);\s*extra\s*==\s*[\"'](\w+)", line)
        found = place.version(need[1]) if need else None
        if need is None or found is None:
            continue
        bounds = dict(re.findall(r"(>=|<)\s*([\d.]+)", need[2]))
        old = ">=" in bounds and _numbers(found) < _numbers(bounds[">="])
        if old or ("<" in bounds and _numbers(found) >= _numbers(bounds["<"])):
            known = " and ".join(f"{'from' if sign == '>=' else 'below'} {bound}" for sign, bound in bounds.items())
            text = f"{need[1]} {found} is installed, and versions {known} are known here: others were not tried."
            yield Finding(KNOW, "versions", text, f"pip install 'procession[{need[3]}]'")


def _numbers(version):
    """Return the numbers that a version begins with."""
    begin = re.match(r"\d+(?:\.\d+)*", version)
    return [int(part) for part in begin[0].split(".")] if begin else []


def _at(source, *names):
    return f"{source.path}:{min(source.lines[name] for name in names if name in source.lines)}"


def _forked(place, level, name, modules, text):
    """Yield a finding where a program imports one of the modules and asks for fork."""
    for source in place.programs:
        found = [module for module in modules if module in source.imports]
        if found and source.forks:
            yield Finding(
                level, name, text.format(found[0]), 'get_context("forkserver"), the default', _at(source, *found)
            )


@check("gevent", "libraries")
def gevent(place: Surroundings) -> Iterator[Finding]:
    """Libraries that replace locks and threads."""
    for source in place.programs:
        for name in ("gevent", "eventlet"):
            if source.patches.get(name):
                yield Finding(
                    HURTS,
                    "gevent",
                    f"{name} patches locks and threads, also in workers that import this file: its locks wait "
                    "there for a loop "
                    "that does not run.",
                    'patch within if __name__ == "__main__":',
                    f"{source.path}:{source.patches[name]}",
                )


@check("polars-fork", "libraries")
def polars_fork(place: Surroundings) -> Iterator[Finding]:
    """The threads of polars are not there in a forked child."""
    text = "{0} has threads that are not there in a child that is forked: it waits for them for ever."
    yield from _forked(place, HURTS, "polars-fork", ("polars",), text)


@check("jax-fork", "libraries")
def jax_fork(place: Surroundings) -> Iterator[Finding]:
    """jax and tensorflow have threads from the first call on."""
    text = "{0} runs threads from its first call on: a child that is forked after that may wait for ever."
    yield from _forked(place, HURTS, "jax-fork", ("jax", "jaxlib", "tensorflow"), text)


@check("grpc-fork", "libraries")
def grpc_fork(place: Surroundings) -> Iterator[Finding]:
    """gRPC has threads as soon as there is a channel."""
    text = "{0} has threads as soon as there is a channel: a child that is forked after that cannot use it."
    yield from _forked(place, KNOW, "grpc-fork", ("grpc",), text)


@check("openmp-fork", "libraries")
def openmp_fork(place: Surroundings) -> Iterator[Finding]:
    """GNU's OpenMP waits for threads that a forked child has not."""
    text = "{0} uses OpenMP: once the parent has run a parallel region, one in a forked child waits for ever."
    yield from _forked(place, HURTS, "openmp-fork", ("sklearn", "lightgbm", "xgboost", "torch"), text)


@check("cuda-fork", "libraries")
def cuda_fork(place: Surroundings) -> Iterator[Finding]:
    """CUDA belongs to the process that has begun with it."""
    for source in place.programs:
        if source.cuda and source.forks:
            yield Finding(
                HURTS,
                "cuda-fork",
                "CUDA is used where the file is run: a child that is forked after that cannot use it.",
                'get_context("forkserver"), the default; CUDA within functions only',
                f"{source.path}:{source.cuda}",
            )
