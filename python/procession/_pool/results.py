"""What the methods of a pool answer; the engine, or a crew's own job, holds the outcomes."""

import sys

from procession import _exceptions
from procession._checks import seconds
from procession._pool.crew import stay_at_exit

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, Generic, Self, TypeVar

    _R = TypeVar("_R")
else:
    from procession._standard import Generic

    _R = None

__all__ = [
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "arrival",
    "running_trio",
]


class ApplyResult(Generic[_R]):
    """The result of `apply_async`, also called `AsyncResult`: there at some time. `await` gives what `get` gives."""

    def __init__(self, pool, core):
        # The pool lives as long as somebody waits for one of its results.
        self._pool = pool
        self._core = core

    def _repr_html_(self):
        from procession._pool import html

        return html.of_result(self)

    def ready(self) -> bool:
        """Return whether the task has ended. Does not wait."""
        return self._core.ready()

    def successful(self) -> bool:
        """Return whether the task ended without an exception.

        Raises:
            ValueError: it has not ended.
        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._core.successful()

    def cancel(self) -> bool:
        """Give the task up: it does not start any more, or is interrupted where it runs, by an exception first and by
        the end of its worker half a second later; `get` raises `concurrent.futures.CancelledError`.

        Returns:
            Whether it had not ended.
        """
        from concurrent.futures import CancelledError

        return self._core.cancel(CancelledError("the task was cancelled"))

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the task has ended, at most `timeout` seconds (None: no limit)."""
        self._core.wait(seconds(timeout))

    def get(self, timeout: float | None = None) -> "_R":
        """Return what the task returned, or raise what it raised; wait for it at most `timeout` seconds.

        Raises:
            TimeoutError: `procession.TimeoutError`, the task goes on.
            Exception: what the task raised, or what became of it: see `Pool.apply`.
        """
        if not self._core.wait(seconds(timeout)):
            raise _exceptions.TimeoutError(f"the result is not there after {timeout} seconds")
        return self._value()

    def _value(self):
        try:
            return self._core.value()
        except Exception as error:
            stay_at_exit(error)
            raise

    def __await__(self) -> "Generator[Any, None, _R]":
        """Wait in a coroutine, and give what `get` gives. Cancelling the coroutine's task cancels this."""
        while not self._core.ready():
            try:
                yield from arrival(self._core).__await__()
            except BaseException:
                self.cancel()
                raise
        return self._value()


def running_trio():
    """Return the module `trio` in a coroutine that it runs, else None; also where anyio does so by it."""
    trio = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_task() else None


async def arrival(core):
    """Wait until the engine says that a job has an outcome to be read; one that is drawn is drawn meanwhile."""
    pause = getattr(core, "pause", None)
    trio = running_trio()
    if trio is not None:
        await _arrival_in_trio(trio, core, pause)
        return
    import asyncio

    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def tell():
        try:
            loop.call_soon_threadsafe(_finish, future)
        except RuntimeError:  # that loop is closed: nobody waits there any more
            pass

    if core.watch(tell):
        while pause is not None and not (await asyncio.wait([future], timeout=pause()))[0]:
            core.tick()
        await future


async def _arrival_in_trio(trio, core, pause):
    token, event = trio.lowlevel.current_trio_token(), trio.Event()

    def tell():
        try:
            token.run_sync_soon(event.set)
        except trio.RunFinishedError:  # nobody waits there any more
            pass

    if core.watch(tell):
        while pause is not None and not event.is_set():
            with trio.move_on_after(pause()):
                await event.wait()
            core.tick()
        await event.wait()


def _finish(future):
    if not future.done():
        future.set_result(None)


AsyncResult = ApplyResult


class MapResult(ApplyResult["list[_R]"]):
    """The result of `map_async` or `starmap_async`: a list, there when all tasks have ended."""

    @property
    def skipped(self) -> int:
        """How many tasks have failed and are left out, by `on_error="skip"`, so far."""
        return getattr(self._core, "skipped", 0)


class IMapIterator(Generic[_R]):
    """The results of `imap`, one after the other, in the order of the items; for `for` and `async for`.

    When it is forgotten after somebody has read it, the map ends as by `close`, but that a generator of the items is
    left to whoever else has it. One that nobody has read goes on to its last item: it may have been made for what the
    function does.
    """

    def __init__(self, pool, core):
        self._pool = pool
        self._core = core
        self._read = core.next

    @property
    def skipped(self) -> int:
        """How many tasks have failed and are left out, by `on_error="skip"`, so far."""
        return getattr(self._core, "skipped", 0)

    _repr_html_ = ApplyResult._repr_html_

    def __iter__(self) -> "Self":
        return self

    def __next__(self) -> "_R":
        try:
            return self._read(None)[0]
        except Exception as error:
            stay_at_exit(error)
            raise

    def _next(self, timeout):
        try:
            return self._read(timeout)
        except Exception as error:
            stay_at_exit(error)
            raise

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> "_R":
        while True:
            try:
                found = self._next(0)
            except StopIteration:
                raise StopAsyncIteration from None
            if found is not None:
                return found[0]
            await arrival(self._core)

    def next(self, timeout: float | None = None) -> "_R":
        """Return the next result, or raise what its task raised; wait for it at most `timeout` seconds.

        Raises:
            StopIteration: there are no more.
            TimeoutError: `procession.TimeoutError`, ask again.
        """
        found = self._next(seconds(timeout))
        if found is None:
            raise _exceptions.TimeoutError(f"the next result is not there after {timeout} seconds")
        return found[0]

    def close(self) -> None:
        """End the map: no further items are taken, those that have not started do not start, those that run are
        interrupted, by an exception first and by the end of their worker half a second later. No more results come.

        The items are closed, too, if they come from a generator, so that its `finally` blocks run: before this returns,
        unless another thread is in the generator, which then closes it. Does not wait.

        Raises:
            Exception: what the generator raised when it was closed.
        """
        self._core.close()

    def __del__(self):
        self._core.forsake()


class IMapUnorderedIterator(IMapIterator[_R]):
    """The results of `imap_unordered`, as they come."""


# Where programs find them.
for _class in (ApplyResult, MapResult, IMapIterator, IMapUnorderedIterator):
    _class.__module__ = "procession.pool"
