"""The types of what is in objects that several processes use."""

from collections.abc import Iterator
from typing import Generic, TypeVar, overload

from procession import _procession as engine

_T = TypeVar("_T")
_V = TypeVar("_V")


class Queue(engine.Queue, Generic[_T]):
    """The base class that checkers see of `queues.Queue`: the engine's, for items of one type."""

    def put(self, obj: _T, block: object = True, timeout: float | None = None) -> None: ...
    def get(self, block: object = True, timeout: float | None = None) -> _T: ...
    def put_nowait(self, obj: _T) -> None: ...
    def get_nowait(self) -> _T: ...
    def get_many(self, most: int, timeout: float | None = None) -> list[_T]: ...


class SimpleQueue(engine.SimpleQueue, Generic[_T]):
    """The base class that checkers see of `queues.SimpleQueue`: the engine's, for items of one type."""

    def put(self, obj: _T) -> None: ...
    def get(self) -> _T: ...


class Listed(Generic[_V]):
    """The base class that checkers see of `shared_memory.ShareableList`."""

    def __iter__(self) -> Iterator[_V]: ...


@overload
def share(obj: bytes | bytearray | memoryview, *, writable: bool = False) -> memoryview: ...
@overload
def share(obj: _T, *, writable: bool = False) -> _T: ...


class Shares:
    """The base class that checkers see of `pool.Pool`."""

    @overload
    def share(self, obj: bytes | bytearray | memoryview, *, writable: bool = False) -> memoryview: ...
    @overload
    def share(self, obj: _T, *, writable: bool = False) -> _T: ...
