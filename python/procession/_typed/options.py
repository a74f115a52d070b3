"""The named arguments that are passed on as they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Literal, TypeAlias, TypedDict

from numpy.random import SeedSequence

from procession._pool.output import OutputLine
from procession._progress.facts import Progress

ProgressWish: TypeAlias = bool | Literal["rich", "tqdm", "plain"] | Callable[[Progress], object]


class Settings(TypedDict, total=False):
    """What a child may be given beside its function; None is as good as nothing."""

    env: Mapping[str, str | None] | None
    cwd: str | PathLike[str] | None
    nice: int | None
    cpu_affinity: Iterable[int] | None
    max_memory: int | None


class ExecutorOptions(TypedDict, total=False):
    """The types of the options that an executor passes on to `pool_options`: it has its own `max_workers`."""

    crew: str | None
    max_tasks: int | None
    max_age: float | None
    max_memory: int | str | None
    env: Mapping[str, str | None] | Callable[[int], Mapping[str, str | None]] | None
    nice: int | Callable[[int], int] | None
    cpu_affinity: Iterable[int] | Callable[[int], Iterable[int]] | None
    forward_logs: bool
    capture_output: bool | Callable[[OutputLine], object]
    progress: ProgressWish
    finalizer: Callable[[], object] | None
    seed: int | Sequence[int] | SeedSequence | None
    seed_globals: bool
    on_error: Literal["raise", "return", "skip"]
    first_error: Literal["position", "time"]
    priority: int
    min_workers: int | None
    idle_timeout: float | None
    resources: Mapping[str, int] | None
    resource_env: Mapping[str, str] | None


class PoolOptions(ExecutorOptions, total=False):
    """The types of the options that everybody else passes on."""

    max_workers: int | None


class TaskOptions(TypedDict, total=False):
    """The types of the further options of a call of one task."""

    seed: int | Sequence[int] | SeedSequence | None
    seed_globals: bool
    priority: int
    resources: Mapping[str, int] | None


class ItemOptions(TaskOptions, total=False):
    """The types of the further options of a call for many items, but `progress` and `on_error`."""

    first_error: Literal["position", "time"]
    resume: str | PathLike[str] | None
    on_mismatch: Literal["raise", "restart"]
    fsync: bool
    order: Literal["longest"] | None
    cost: Callable[..., float] | None


class MapOptions(ItemOptions, total=False):
    """The types of the further options of a call for many items, but `on_error`, by which its result differs."""

    progress: ProgressWish
