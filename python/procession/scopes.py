"""Blocks that no task outlives: `scope` of tasks of a pool, `open_pool` of a pool; for `with` and `async with`."""

import sys
import threading
import time
from concurrent.futures import CancelledError

from procession import context as contexts
from procession._pool.results import arrival, running_trio

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Self, TypeVar, Unpack

    from procession._typed.options import PoolOptions, TaskOptions
    from procession.pool import ApplyResult, MapResult, Pool

    _T = TypeVar("_T")
    _R = TypeVar("_R")

__all__ = ["OpenPool", "Scope", "open_pool", "scope"]

# How often it is looked whether what was cancelled has ended, which takes half a second at most.
LOOK_S = 0.005
# Not a failure of the block among others, but the end of what it is part of.
_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def scope(pool: "Pool", **options: "Unpack[TaskOptions]") -> "Scope":
    """Return a block for tasks of a pool, none of which outlives it.

    Its end waits for all of them. When one fails the others are cancelled, and so they are when the block is left by an
    exception; then the failures come as an `ExceptionGroup`.

    Args:
        pool: a `Pool`, which stays.
        options: those of `Pool.apply_async` for all tasks, such as `priority`.
    """
    return Scope(pool, options)


class Scope:
    """A block for tasks; made by `scope`."""

    def __init__(self, pool: "Pool", options: "Any" = None) -> None:
        self._pool = pool
        self._options = options or {}
        self._lock = threading.Lock()
        self._results: list[Any] = []
        self._kept = 64
        self._count = 0
        self._failures: list[BaseException] = []
        self._state = "open"

    def submit(self, func: "Callable[..., _R]", /, *args: "Any", **kwargs: "Any") -> "ApplyResult[_R]":
        """Have `func(*args, **kwargs)` called; return its result, which can be waited for, or awaited.

        Raises:
            CancelledError: a task has failed, or the scope was cancelled.
            RuntimeError: the block was left.
        """
        self._check()
        return self._take(self._pool.apply_async(func, args, kwargs, error_callback=self._fail, **self._options))

    def map(
        self, func: "Callable[[_T], _R]", iterable: "Iterable[_T]", chunksize: int | None = None
    ) -> "MapResult[_R]":
        """Have `func` called with each item; return the result, a list. It fails when all its items have ended.

        Raises:
            CancelledError, RuntimeError: as `submit`.
        """
        self._check()
        result = self._pool.map_async(func, iterable, chunksize, error_callback=self._fail, **self._options)
        return self._take(result)

    def cancel(self) -> None:
        """Give all tasks up: those that run are interrupted, half a second later their workers are killed."""
        with self._lock:
            if self._state == "open":
                self._state = "cancelled"
            results = list(self._results)
        for result in results:
            result.cancel()

    def _check(self):
        if self._state == "cancelled":
            raise CancelledError("this scope was cancelled: a task of it has failed, or its cancel() was called")
        if self._state == "left":
            raise RuntimeError("this scope was left: make another one for further tasks")

    def _take(self, result):
        with self._lock:
            self._count += 1
            if len(self._results) >= self._kept:
                # Tasks that are done have told of their failures; one that was given up may still run.
                self._results = [other for other in self._results if not other._core.done()]
                self._kept = max(64, 2 * len(self._results))
            self._results.append(result)
            is_late = self._state != "open"
        if is_late:
            result.cancel()
        return result

    def _fail(self, error):
        """A task has failed: called before its result counts as ready."""
        if isinstance(error, CancelledError):
            return
        self._failures.append(error)
        self.cancel()

    # -- the end of the block ------------------------------------------------------------------------------------------

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        if error is not None:
            self.cancel()
        try:
            for result in self._left():
                result._core.wait(None)
        except BaseException:  # Ctrl-C
            self.cancel()
            raise
        finally:
            while self._runs_on():
                time.sleep(LOOK_S)
        self._tell(error)

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        if error is not None:
            self.cancel()
        try:
            for result in self._left():
                while not result._core.ready():
                    await arrival(result._core)
        except BaseException:  # whoever waits here was cancelled
            self.cancel()
            raise
        finally:
            await _until(lambda: not self._runs_on())
        self._tell(error)

    def _left(self):
        """Yield all results without an outcome, also those of tasks that come meanwhile."""
        while True:
            with self._lock:
                left = [result for result in self._results if not result._core.done()]
                if not left:
                    if self._state == "open":
                        self._state = "left"
                    return
            yield from left

    def _runs_on(self):
        """Return whether a task that was given up still runs in its worker."""
        return any(result._core.is_out() for result in self._results)

    def _tell(self, error):
        self._state = "left"
        self._results = []
        failures, self._failures = self._failures, []
        if not failures or isinstance(error, _ENDS):
            return
        text = f"{len(failures)} of {self._count} tasks of a scope failed"
        own = [] if error is None or isinstance(error, CancelledError) or error in failures else [error]
        if own and _is_cancellation(error):
            return  # of the coroutine's own task
        raise BaseExceptionGroup(text, [*own, *failures]) from None


class OpenPool:
    """A pool for a block: made by `open_pool`."""

    def __init__(self, processes, options):
        self._arguments = processes, options
        self._pool: Any = None

    def _begin(self):
        processes, options = self._arguments
        self._pool = contexts.get_context().Pool(processes, **options)
        return self._pool

    def _end(self, error):
        if error is None:
            self._pool.close()
        else:
            self._pool.terminate()
        self._pool.join()

    def __enter__(self) -> "Pool":
        return self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        try:
            self._end(error)
        except BaseException as interrupt:  # Ctrl-C
            self._end(interrupt)
            raise

    async def __aenter__(self) -> "Pool":
        return self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        ending = threading.Thread(target=self._end, args=(error,), name="PoolEnd")
        ending.start()
        try:
            while ending.is_alive():
                await _pause()
        except BaseException as cancelled:
            self._pool.terminate()
            await _until(lambda: not ending.is_alive())
            self._end(cancelled)
            raise


def open_pool(processes: int | None = None, **options: "Unpack[PoolOptions]") -> OpenPool:
    """Return a block that has a pool, for `with` and `async with`: `async with procession.open_pool(4) as pool`.

    Its end waits for all tasks of the pool, and for its workers to end. When the block is left by an exception, or the
    coroutine is cancelled, the tasks are cancelled. In a coroutine of asyncio, trio or anyio nothing of this holds up
    the others.

    Args:
        processes: how many workers; as for `Pool`.
        options: those of `Pool`.
    """
    return OpenPool(processes, options)


async def _until(holds):
    """Wait until something holds, also where whoever waits was cancelled: it holds within a second."""
    while not holds():
        try:
            with _shield():
                await _pause()
        except BaseException as error:
            if not _is_cancellation(error):
                raise


def _shield():
    """Return a block whose waits nobody cancels; asyncio cancels each time once, so there the next wait holds."""
    anyio, trio = sys.modules.get("anyio"), running_trio()
    if trio is not None:
        return trio.CancelScope(shield=True)
    if anyio is not None:
        return anyio.CancelScope(shield=True)
    import contextlib

    return contextlib.nullcontext()


async def _pause():
    trio = running_trio()
    if trio is not None:
        await trio.sleep(LOOK_S)
    else:
        import asyncio

        await asyncio.sleep(LOOK_S)


def _is_cancellation(error):
    """Return whether an exception is that by which asyncio or trio cancel a coroutine."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio")
    return (asyncio is not None and isinstance(error, asyncio.CancelledError)) or (
        trio is not None and isinstance(error, trio.Cancelled)
    )
