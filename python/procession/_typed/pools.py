"""The types of what maps give, where those of their options say it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Literal, TypeVar, Unpack, overload

from procession._pool.failed import TaskFailed
from procession._pool.results import IMapIterator, IMapUnorderedIterator, MapResult
from procession._typed.options import ItemOptions, MapOptions, ProgressWish
from procession._typed.shared import Shares

_T = TypeVar("_T")
_R = TypeVar("_R")
_Errors = type[BaseException] | tuple[type[BaseException], ...]
_Failed = Callable[[BaseException], object]


class Maps(Shares):
    """The base class that checkers see of `pool.Pool`: with `on_error="return"` failures are among the results."""

    @overload
    def map(
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["return"],
        **further: Unpack[MapOptions],
    ) -> list[_R | TaskFailed]: ...
    @overload
    def map(
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["raise", "skip"] = "raise",
        **further: Unpack[MapOptions],
    ) -> list[_R]: ...

    @overload
    def map_async(
        self,
        func: Callable[[_T], _R],
        iterable: Iterable[_T],
        chunksize: int | None = None,
        callback: Callable[[list[_R | TaskFailed]], object] | None = None,
        error_callback: _Failed | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["return"],
        **further: Unpack[MapOptions],
    ) -> MapResult[_R | TaskFailed]: ...
    @overload
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
        on_error: Literal["raise", "skip"] = "raise",
        **further: Unpack[MapOptions],
    ) -> MapResult[_R]: ...

    @overload
    def starmap(
        self,
        func: Callable[..., _R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["return"],
        **further: Unpack[MapOptions],
    ) -> list[_R | TaskFailed]: ...
    @overload
    def starmap(
        self,
        func: Callable[..., _R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["raise", "skip"] = "raise",
        **further: Unpack[MapOptions],
    ) -> list[_R]: ...

    @overload
    def starmap_async(
        self,
        func: Callable[..., _R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[_R | TaskFailed]], object] | None = None,
        error_callback: _Failed | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["return"],
        **further: Unpack[MapOptions],
    ) -> MapResult[_R | TaskFailed]: ...
    @overload
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
        on_error: Literal["raise", "skip"] = "raise",
        **further: Unpack[MapOptions],
    ) -> MapResult[_R]: ...

    @overload
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
        on_error: Literal["return"],
        **further: Unpack[MapOptions],
    ) -> IMapIterator[_R | TaskFailed]: ...
    @overload
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
        on_error: Literal["raise", "skip"] = "raise",
        **further: Unpack[MapOptions],
    ) -> IMapIterator[_R]: ...

    @overload
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
        on_error: Literal["return"],
        **further: Unpack[MapOptions],
    ) -> IMapUnorderedIterator[_R | TaskFailed]: ...
    @overload
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
        on_error: Literal["raise", "skip"] = "raise",
        **further: Unpack[MapOptions],
    ) -> IMapUnorderedIterator[_R]: ...


class ExecutorMaps(Executor):
    """The base class that checkers see of `futures.ProcessPoolExecutor`."""

    @overload
    def map(
        self,
        fn: Callable[..., _R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: ProgressWish | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["return"],
        **further: Unpack[ItemOptions],
    ) -> Iterator[_R | TaskFailed]: ...
    @overload
    def map(
        self,
        fn: Callable[..., _R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: ProgressWish | None = None,
        retries: int = 0,
        retry_on: _Errors = (),
        on_error: Literal["raise", "skip"] = "raise",
        **further: Unpack[ItemOptions],
    ) -> Iterator[_R]: ...
