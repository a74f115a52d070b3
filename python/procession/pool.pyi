from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack, overload

from procession._exceptions import (
    OverMemory as OverMemory,
    PoolTerminated as PoolTerminated,
    TaskTimeout as TaskTimeout,
    WorkerDied as WorkerDied,
)
from procession._objects.failures import MaybeEncodingError as MaybeEncodingError, RemoteTraceback as RemoteTraceback
from procession._pool.options import PoolOptions as PoolOptions
from procession._pool.output import OutputLine as OutputLine
from procession._pool.stats import PoolStats as PoolStats, TaskStats as TaskStats, WorkerStats as WorkerStats
from procession._pool.threadpool import ThreadPool as ThreadPool
from procession.context import BaseContext

__all__ = ["Pool", "ThreadPool"]

INIT: str
RUN: str
CLOSE: str
TERMINATE: str

_T = TypeVar("_T")
_R = TypeVar("_R")
_Errors = type[BaseException] | tuple[type[BaseException], ...]
_Failed = Callable[[BaseException], object]

class ApplyResult(Generic[_R]):
    def ready(self) -> bool: ...
    def successful(self) -> bool: ...
    def cancel(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> None: ...
    def get(self, timeout: float | None = None) -> _R: ...
    def __await__(self) -> Generator[Any, None, _R]: ...

AsyncResult = ApplyResult

class MapResult(ApplyResult[list[_R]]): ...

class IMapIterator(Iterator[_R]):
    def __iter__(self) -> Self: ...
    def __next__(self) -> _R: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> _R: ...
    def next(self, timeout: float | None = None) -> _R: ...
    def close(self) -> None: ...

class IMapUnorderedIterator(IMapIterator[_R]): ...

class Pool:
    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: BaseContext | None = None,
        **options: Unpack[PoolOptions],
    ) -> None: ...
    def apply(
        self,
        func: Callable[..., _R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> _R: ...
    def apply_async(
        self,
        func: Callable[..., _R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[_R], object] | None = None,
        error_callback: _Failed | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> ApplyResult[_R]: ...
    def map(
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> list[_R]: ...
    def map_async(
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int | None = None,
        callback: Callable[[list[_R]], object] | None = None,
        error_callback: _Failed | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> MapResult[_R]: ...
    def starmap(
        self,
        func: Callable[..., _R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> list[_R]: ...
    def starmap_async(
        self,
        func: Callable[..., _R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[_R]], object] | None = None,
        error_callback: _Failed | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> MapResult[_R]: ...
    def imap(
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> IMapIterator[_R]: ...
    def imap_unordered(
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
    ) -> IMapUnorderedIterator[_R]: ...
    @overload
    def share(self, obj: bytes | bytearray | memoryview, *, writable: bool = False) -> memoryview: ...
    @overload
    def share(self, obj: _T, *, writable: bool = False) -> _T: ...
    def stats(self) -> PoolStats: ...
    def dump_stacks(self, timeout: float = 1.0) -> str: ...
    def close(self) -> None: ...
    def terminate(self) -> None: ...
    def join(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None: ...
