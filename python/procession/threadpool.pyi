import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from procession.pool import ApplyResult, IMapIterator, IMapUnorderedIterator, MapResult, Pool

TERMINATED_JOIN_LIMIT_S: float

_T = TypeVar("_T")
_R = TypeVar("_R")
_Failed = Callable[[BaseException], object]

class ThreadPool(Pool):
    _pool: list[threading.Thread]
    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None: ...
    # A thread can neither be interrupted nor die: what a pool of processes takes for that is not here.
    def apply(  # type: ignore[override]
        self, func: Callable[..., _R], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}
    ) -> _R: ...
    def apply_async(  # type: ignore[override]
        self,
        func: Callable[..., _R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[_R], object] | None = None,
        error_callback: _Failed | None = None,
    ) -> ApplyResult[_R]: ...
    def map(  # type: ignore[override]
        self, func: Callable[[_T], _R], iterable: Iterable[_T], chunksize: int | None = None
    ) -> list[_R]: ...
    def map_async(  # type: ignore[override]
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int | None = None,
        callback: Callable[[list[_R]], object] | None = None,
        error_callback: _Failed | None = None,
    ) -> MapResult[_R]: ...
    def starmap(  # type: ignore[override]
        self, func: Callable[..., _R], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[_R]: ...
    def starmap_async(  # type: ignore[override]
        self,
        func: Callable[..., _R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[_R]], object] | None = None,
        error_callback: _Failed | None = None,
    ) -> MapResult[_R]: ...
    def imap(  # type: ignore[override]
        self, func: Callable[[_T], _R], iterable: Iterable[_T], chunksize: int = 1, *, buffersize: int | None = None
    ) -> IMapIterator[_R]: ...
    def imap_unordered(  # type: ignore[override]
        self, func: Callable[[_T], _R], iterable: Iterable[_T], chunksize: int = 1, *, buffersize: int | None = None
    ) -> IMapUnorderedIterator[_R]: ...
