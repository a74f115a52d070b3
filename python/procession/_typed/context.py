"""The overloads of the methods of contexts."""

import ctypes
from collections.abc import Sequence
from typing import Any, Literal, overload

from procession import _exceptions, context
from procession._typed.sharedctypes import _C, _T, _Lock, _Whole
from procession.sharedctypes import Synchronized, SynchronizedArray, SynchronizedString


class Overloads:
    """The base class that checkers see of `context.Constructors`."""

    ProcessError: type[_exceptions.ProcessError]
    BufferTooShort: type[_exceptions.BufferTooShort]
    TimeoutError: type[_exceptions.TimeoutError]
    AuthenticationError: type[_exceptions.AuthenticationError]

    @overload
    def RawValue(self, typecode_or_type: type[_C], *args: Any) -> _C: ...
    @overload
    def RawValue(self, typecode_or_type: str, *args: Any) -> Any: ...
    @overload
    def RawArray(self, typecode_or_type: type[_C], size_or_initializer: int | Sequence[Any]) -> ctypes.Array[_C]: ...
    @overload
    def RawArray(self, typecode_or_type: str, size_or_initializer: int | Sequence[Any]) -> Any: ...
    @overload
    def Value(self, typecode_or_type: type[_C], *args: Any, lock: Literal[False]) -> _C: ...
    @overload
    def Value(self, typecode_or_type: _Whole, *args: Any, lock: _Lock = True) -> Synchronized[int]: ...
    @overload
    def Value(self, typecode_or_type: Literal["f", "d"], *args: Any, lock: _Lock = True) -> Synchronized[float]: ...
    @overload
    def Value(
        self, typecode_or_type: type[ctypes._SimpleCData[_T]], *args: Any, lock: _Lock = True
    ) -> Synchronized[_T]: ...
    @overload
    def Value(self, typecode_or_type: str | type[Any], *args: Any, lock: bool | _Lock = True) -> Any: ...
    @overload
    def Array(
        self, typecode_or_type: Literal["c"], size_or_initializer: int | Sequence[Any], *, lock: _Lock = True
    ) -> SynchronizedString: ...
    @overload
    def Array(
        self, typecode_or_type: _Whole, size_or_initializer: int | Sequence[int], *, lock: _Lock = True
    ) -> SynchronizedArray[int]: ...
    @overload
    def Array(
        self, typecode_or_type: Literal["f", "d"], size_or_initializer: int | Sequence[float], *, lock: _Lock = True
    ) -> SynchronizedArray[float]: ...
    @overload
    def Array(
        self,
        typecode_or_type: type[ctypes._SimpleCData[_T]],
        size_or_initializer: int | Sequence[Any],
        *,
        lock: _Lock = True,
    ) -> SynchronizedArray[_T]: ...
    @overload
    def Array(
        self,
        typecode_or_type: str | type[Any],
        size_or_initializer: int | Sequence[Any],
        *,
        lock: bool | _Lock = True,
    ) -> Any: ...
    @overload
    def get_context(self, method: Literal["fork"]) -> "context.ForkContext": ...
    @overload
    def get_context(self, method: Literal["spawn"]) -> "context.SpawnContext": ...
    @overload
    def get_context(self, method: Literal["forkserver"]) -> "context.ForkServerContext": ...
    @overload
    def get_context(
        self, method: str | None = None
    ) -> "context.ForkContext | context.SpawnContext | context.ForkServerContext": ...


class Concrete(context.BaseContext):
    """The base class that checkers see of the contexts whose start method is fixed."""

    def get_start_method(self, allow_none: bool = False) -> str: ...
