"""The overloads of what makes objects in shared memory, and of the elements of arrays."""

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

from procession import _procession as engine
from procession.context import BaseContext
from procession.sharedctypes import Synchronized, SynchronizedArray, SynchronizedString
from procession.synchronize import Lock, RLock

_T = TypeVar("_T")
_C = TypeVar("_C", bound=ctypes._CData)
_Lock = Lock | RLock | Literal[True]
_Whole = Literal["b", "B", "h", "H", "i", "I", "l", "L", "q", "Q"]


class Held(engine.SynchronizedBase, Generic[_C]):
    """The base class that checkers see of `sharedctypes.SynchronizedBase`."""

    def get_obj(self) -> _C: ...
    def get_lock(self) -> Lock | RLock: ...


class Elements(engine.SynchronizedArray, Generic[_T]):
    """The base class that checkers see of `sharedctypes.SynchronizedArray`."""

    @overload
    def __getitem__(self, index: int, /) -> _T: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[_T]: ...
    @overload
    def __setitem__(self, index: int, value: _T, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[_T], /) -> None: ...


@overload
def RawValue(typecode_or_type: type[_C], *args: Any) -> _C: ...
@overload
def RawValue(typecode_or_type: str, *args: Any) -> Any: ...
@overload
def RawArray(typecode_or_type: type[_C], size_or_initializer: int | Sequence[Any]) -> ctypes.Array[_C]: ...
@overload
def RawArray(typecode_or_type: str, size_or_initializer: int | Sequence[Any]) -> Any: ...
@overload
def Value(typecode_or_type: type[_C], *args: Any, lock: Literal[False], ctx: BaseContext | None = None) -> _C: ...
@overload
def Value(
    typecode_or_type: _Whole, *args: Any, lock: _Lock = True, ctx: BaseContext | None = None
) -> "Synchronized[int]": ...
@overload
def Value(
    typecode_or_type: Literal["f", "d"], *args: Any, lock: _Lock = True, ctx: BaseContext | None = None
) -> "Synchronized[float]": ...
@overload
def Value(
    typecode_or_type: type[ctypes._SimpleCData[_T]], *args: Any, lock: _Lock = True, ctx: BaseContext | None = None
) -> "Synchronized[_T]": ...
@overload
def Value(
    typecode_or_type: str | type[Any], *args: Any, lock: bool | Lock | RLock = True, ctx: BaseContext | None = None
) -> Any: ...
@overload
def Array(
    typecode_or_type: Literal["c"],
    size_or_initializer: int | Sequence[Any],
    *,
    lock: _Lock = True,
    ctx: BaseContext | None = None,
) -> "SynchronizedString": ...
@overload
def Array(
    typecode_or_type: _Whole,
    size_or_initializer: int | Sequence[int],
    *,
    lock: _Lock = True,
    ctx: BaseContext | None = None,
) -> "SynchronizedArray[int]": ...
@overload
def Array(
    typecode_or_type: Literal["f", "d"],
    size_or_initializer: int | Sequence[float],
    *,
    lock: _Lock = True,
    ctx: BaseContext | None = None,
) -> "SynchronizedArray[float]": ...
@overload
def Array(
    typecode_or_type: type[ctypes._SimpleCData[_T]],
    size_or_initializer: int | Sequence[Any],
    *,
    lock: _Lock = True,
    ctx: BaseContext | None = None,
) -> "SynchronizedArray[_T]": ...
@overload
def Array(
    typecode_or_type: str | type[Any],
    size_or_initializer: int | Sequence[Any],
    *,
    lock: bool | Lock | RLock = True,
    ctx: BaseContext | None = None,
) -> Any: ...
