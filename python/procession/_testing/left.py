"""A block that fails if it leaves something: processes, descriptors, threads, names in shared memory."""

import gc
import time

from procession._checks import seconds as _seconds
from procession._testing.belongings import Belongings
from procession._testing.names import Names

TYPE_CHECKING = False  # checkers take it for true
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Left", "nothing_left"]

_LOOK_S = 0.01
_FRAMES = 25  # of a place where memory was taken: that of the program is behind those of libraries


class Left(AssertionError):
    """A block has left something, which its text tells of.

    Attributes:
        kinds: what it is: "process", "zombie", "descriptor", "socket", "memory", "shared memory", "thread", "pool".
    """

    def __init__(self, text: str, kinds: "frozenset[str]" = frozenset()) -> None:
        super().__init__(text)
        self.kinds = kinds


class nothing_left:
    """A block at whose end this process has no more than at its beginning: no child, zombie, descriptor, thread, nor a
    name in shared memory that the process has made. What is kept for the life of a process, such as the forkserver and
    the resource tracker, does not count.

    Args:
        seconds: how long to wait for what is about to end. A block that leaves nothing waits for nothing.
        trace: whether Python traces memory in the block, so that the text says where most things were made. That takes
            its time.

    Raises:
        Left: something is left; the text says what, and where it was made if that is known. What the block itself
            raises goes before.
        ValueError, TypeError: `seconds` makes no sense.
    """

    def __init__(self, seconds: float = 5.0, *, trace: bool = False) -> None:
        limit = _seconds(seconds)
        if limit is None or not 0 <= limit < 3e9:
            raise ValueError(f"seconds must be a finite number of seconds, not {seconds!r}")
        self._limit = limit
        self._traces = trace
        self._names = Names()
        self._before: Belongings | None = None

    def __enter__(self) -> "Self":
        if self._traces:
            import tracemalloc

            self._traces = not tracemalloc.is_tracing()  # whoever has begun it ends it
            if self._traces:
                tracemalloc.start(_FRAMES)
        self._names.begin()
        self._before = Belongings()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: "TracebackType | None"
    ) -> None:
        __tracebackhide__ = True  # the text tells everything
        self._names.end()
        try:
            if error is None:
                self._check()
        finally:
            if self._traces:
                import tracemalloc

                tracemalloc.stop()

    def _check(self) -> None:
        __tracebackhide__ = True
        end = time.monotonic() + self._limit
        while (left := self._left()) and time.monotonic() < end:
            gc.collect()
            time.sleep(_LOOK_S)
        if left:
            from procession._testing import told

            text, kinds = told.text(*left)
            raise Left(text, kinds)

    def _left(self):
        before, now = self._before, Belongings()
        assert before is not None
        children = now.children - before.children
        descriptors = {}
        # One may be closed and another opened for it, as a library does that keeps one.
        if len(now.descriptors) > len(before.descriptors):
            descriptors = dict(now.descriptors.items() - before.descriptors.items())
        threads = now.threads - before.threads
        names = self._names.left()
        if children or descriptors or threads or names:
            return children, descriptors, threads, names
        return None
